/** The data directory, the token, `stack.json` and the idle watch. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  defaultDataDirectory,
  liveStack,
  openDataDirectory,
  operatorToken,
  removeStack,
  writeStack,
} from "../../../coordinator/stack/directory.ts";
import { watchIdle } from "../../../coordinator/stack/idle.ts";
import { identify, isAlive } from "../../../coordinator/stack/process.ts";
import { silentLogger } from "../../../shared/log/log.ts";

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "airavata-stack-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("the token is made once, for its owner only, also by several first starts at once", async (t) => {
  const path = directory(t);
  const tokens = await Promise.all(Array.from({ length: 5 }, () => operatorToken(path, silentLogger)));
  const [token] = tokens;
  assert.deepEqual(new Set(tokens), new Set([token]));
  assert.match(token ?? "", /^aop_[A-Za-z0-9_-]{43}$/);
  assert.equal(await operatorToken(path, silentLogger), token);
  assert.equal(statSync(join(path, "token")).mode & 0o777, 0o600);
  chmodSync(join(path, "token"), 0o644);
  assert.equal(await operatorToken(path, silentLogger), token);
  assert.equal(statSync(join(path, "token")).mode & 0o777, 0o600);
  writeFileSync(join(path, "token"), "short");
  await assert.rejects(operatorToken(path, silentLogger), { code: "data_directory_invalid", message: /remove it/ });
});

test("a data directory that is a file is refused", async (t) => {
  const path = join(directory(t), "file");
  writeFileSync(path, "");
  await assert.rejects(openDataDirectory(path), { code: "data_directory_invalid" });
  assert.equal(await openDataDirectory(join(path, "..", "new")), join(path, "..", "new"));
});

test("where the data directory is by default", () => {
  const root = process.getuid?.() === 0;
  assert.equal(defaultDataDirectory({ XDG_DATA_HOME: "/x" }), root ? "/var/lib/airavata" : "/x/airavata");
});

test("stack.json names a live stack only while that very process lives", async (t) => {
  const path = directory(t);
  assert.equal(await liveStack(path), undefined);
  const child = spawn("sleep", ["60"]);
  t.after(() => child.kill("SIGKILL"));
  const owner = (await identify(child.pid!))!;
  await writeStack(path, { process: owner, url: "http://127.0.0.1:1", version: "1" });
  assert.equal((await liveStack(path))?.url, "http://127.0.0.1:1");
  const written = JSON.parse(readFileSync(join(path, "stack.json"), "utf8"));
  assert.deepEqual(Object.keys(written), ["pid", "start_time", "boot_id", "url", "version"]);
  // Another process with the same number, or the same number after another boot.
  for (const change of [{ start_time: "1" }, { boot_id: "another" }]) {
    writeFileSync(join(path, "stack.json"), JSON.stringify({ ...written, ...change }));
    assert.equal(await liveStack(path), undefined);
  }
  await writeStack(path, { process: owner, url: "http://127.0.0.1:1", version: "1" });
  const self = (await identify(process.pid))!;
  await removeStack(path, self);
  assert.ok(await liveStack(path), "a file of another stack is not taken away");
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  assert.equal(await isAlive(owner), false);
  assert.equal(await liveStack(path), undefined);
  await removeStack(path, owner);
  writeFileSync(join(path, "stack.json"), "{ half");
  assert.equal(await liveStack(path), undefined);
});

test("idle only without unfinished work and without clients, for long enough", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let mono = 0;
  const state = { unfinished: 1 as number | undefined, clients: 0, lastMono: 0 };
  let idle = 0;
  watchIdle(
    10_000,
    { unfinished: () => state.unfinished, activity: () => state },
    { mono: () => mono, wall: () => 0 },
    () => idle++,
  );
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i += 500) {
      mono += 500;
      t.mock.timers.tick(500);
    }
  };
  pass(30_000);
  state.unfinished = 0;
  state.clients = 1;
  pass(30_000);
  state.clients = 0;
  state.lastMono = mono;
  pass(9_000);
  assert.equal(idle, 0);
  state.lastMono = mono;
  pass(9_000);
  assert.equal(idle, 0);
  state.unfinished = undefined;
  pass(30_000);
  assert.equal(idle, 0);
  state.unfinished = 0;
  pass(20_000);
  assert.equal(idle, 1);
});
