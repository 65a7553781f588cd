/** The outbox: what was appended is there after a death at any byte, what was forgotten is not, a full disk loses nothing. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { AttemptEnd } from "../../../agent/report/end.ts";
import { type LogDisk, systemDisk } from "../../../agent/report/log-file.ts";
import { Outbox } from "../../../agent/report/outbox.ts";

let directory: string;
let number = 0;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "airavata-outbox-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const fresh = (): string => join(directory, `${++number}.log`);

function end(index: number, more: Partial<AttemptEnd> = {}): AttemptEnd {
  const times = { startedAtMs: 1, endedAtMs: 2, cpuMs: 3, memoryMaxBytes: 4 };
  return { key: `17.0.${index}.1`, outcome: 0, blame: 0, exitCode: 0, signal: 0, ...times, ...more };
}

function open(path: string): Promise<Outbox> {
  return Outbox.open({ path, onTrouble: (reason) => assert.equal(reason, null) });
}

async function keysIn(path: string): Promise<string[]> {
  const outbox = await open(path);
  const keys = outbox.ends().map(({ key }) => key);
  await outbox.close();
  return keys;
}

test("ends come back as they were, in order; forgotten ones do not", async () => {
  const path = fresh();
  const outbox = await open(path);
  const ends = [end(0), end(1, { tail: "ü\u0001\n", detail: "why", signal: 9 }), end(2)];
  outbox.append(ends);
  outbox.forget(["17.0.0.1", "unknown"]);
  assert.ok(outbox.has("17.0.1.1") && !outbox.has("17.0.0.1"));
  await outbox.close();
  const again = await open(path);
  assert.deepEqual(again.ends(), ends.slice(1));
  again.forget(again.ends().map(({ key }) => key));
  await again.close();
  assert.equal((await stat(path)).size, 0);
});

test("a key that was forgotten and comes again is there", async () => {
  const path = fresh();
  const outbox = await open(path);
  outbox.append([end(0), end(1)]);
  await outbox.flushed();
  outbox.forget(["17.0.0.1"]);
  outbox.append([end(0, { detail: "of another history" })]);
  await outbox.close();
  const again = await open(path);
  assert.deepEqual(
    again.ends().map(({ key, detail }) => [key, detail]),
    [
      ["17.0.1.1", undefined],
      ["17.0.0.1", "of another history"],
    ],
  );
  await again.close();
});

test("trouble ends although everything that could not be written was acknowledged meanwhile", async () => {
  const heard: boolean[] = [];
  const well = Promise.withResolvers<void>();
  const path = fresh();
  const disk: LogDisk = {
    later: (delayMs, call) => systemDisk.later(delayMs, call),
    async open(name) {
      const file = await systemDisk.open(name);
      const write = file.write.bind(file);
      file.write = async (batch, from, at) => {
        const bytes = await write(batch, from, at);
        outbox.forget(["17.0.0.1"]);
        return bytes;
      };
      file.replace = () => Promise.reject(new Error("EIO"));
      return file;
    },
  };
  const onTrouble = (reason: string | null): void => {
    heard.push(reason !== null);
    if (reason === null) well.resolve();
  };
  const outbox = await Outbox.open({ path, disk, onTrouble, compactBytes: 1 });
  outbox.append([end(0)]);
  assert.equal(await outbox.flushed(), false);
  // The outbox's own timer keeps no process alive.
  const alive = setInterval(() => {}, 1_000);
  await well.promise.finally(() => clearInterval(alive));
  assert.deepEqual(heard, [true, false]);
  await outbox.close();
});

test("cut at any byte, the whole records before the cut are there and nothing else", async () => {
  const path = fresh();
  const outbox = await open(path);
  const sizes = [0];
  for (let i = 0; i < 5; i++) {
    outbox.append([end(i)]);
    await outbox.flushed();
    sizes.push((await stat(path)).size);
  }
  await outbox.close();
  const content = await readFile(path);
  const cut = fresh();
  for (let bytes = 0; bytes <= content.length; bytes++) {
    await writeFile(cut, content.subarray(0, bytes));
    const whole = sizes.filter((size) => size <= bytes).length - 1;
    const reopened = await open(cut);
    assert.equal(reopened.ends().length, whole, `cut at ${bytes}`);
    reopened.append([end(99)]);
    await reopened.close();
    assert.equal((await keysIn(cut)).length, whole + 1);
  }
});

test("a damaged byte ends what is read there", async () => {
  const path = fresh();
  const outbox = await open(path);
  outbox.append([end(0), end(1), end(2)]);
  await outbox.close();
  const content = await readFile(path);
  content[Math.floor(content.length / 2)]! ^= 0x10;
  await writeFile(path, content);
  assert.deepEqual(await keysIn(path), ["17.0.0.1"]);
});

test("it does not grow with what was acknowledged", async () => {
  const path = fresh();
  const outbox = await open(path);
  outbox.append([end(0, { detail: "stays" })]);
  for (let round = 1; round <= 60; round++) {
    const ends = Array.from({ length: 1_000 }, (_, i) => end(round * 1_000 + i));
    outbox.append(ends);
    outbox.forget(ends.map(({ key }) => key));
    await outbox.flushed();
  }
  await outbox.close();
  assert.ok((await stat(path)).size < 9 * 1024 * 1024);
  assert.deepEqual(await keysIn(path), ["17.0.0.1"]);
});

test("what is no file of ours is refused", async () => {
  const path = fresh();
  await symlink("/dev/full", path);
  await assert.rejects(open(path), { code: "outbox_unusable", message: new RegExp(path) });
});
