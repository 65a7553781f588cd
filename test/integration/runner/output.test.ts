/** Output is kept whole while it is small, cut in the middle when it is not, and never costs memory or blocks a task. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { needs } from "../../support/services.ts";
import { bench, residentBytes } from "./harness.ts";

const MIB = 1024 * 1024;
const SENTENCE = /\n\[… (\d+) bytes left out …\]\n/;

test("up to 4096 bytes travel in the record; one more makes a file of exactly that name", async (t) => {
  const b = bench(t);
  await b.open();
  const small = await b.shell("head -c 4096 /dev/zero | tr '\\0' a; echo -n err >&2");
  assert.equal(String(small.stdout.inline), "a".repeat(4096));
  assert.equal(String(small.stderr.inline), "err");
  assert.ok(!existsSync(b.file(`${small.key}.out`)));
  const large = await b.shell("head -c 4097 /dev/zero | tr '\\0' a");
  assert.deepEqual([large.stdout.bytes, large.stdout.inline, large.stdout.truncated], [4097, null, false]);
  assert.equal(readFileSync(b.file(`${large.key}.out`), "utf8"), "a".repeat(4097));
  assert.equal(large.stderr.bytes, 0);
  assert.ok(!existsSync(b.file(`${large.key}.err`)));
});

test("at its limit output is whole; beyond it head, sentence and tail fill the limit exactly", async (t) => {
  const b = bench(t);
  await b.open();
  const limit = 10_001;
  for (const bytes of [limit, limit + 1, limit * 2 + 17, 1_000_003]) {
    const whole = `seq 1 200000 | head -c ${bytes}`;
    const end = await b.shell(whole, { outputLimitBytes: limit });
    const all = execFileSync("/bin/sh", ["-c", whole], { encoding: "utf8" });
    const kept = readFileSync(b.file(`${end.key}.out`), "utf8");
    assert.equal(end.stdout.bytes, bytes);
    assert.equal(end.stdout.truncated, bytes > limit);
    if (bytes <= limit) {
      assert.equal(kept, all);
      continue;
    }
    assert.equal(Buffer.byteLength(kept), limit);
    const [head, out, tail] = kept.split(SENTENCE) as [string, string, string];
    assert.equal(head, all.slice(0, Math.floor(limit / 2)));
    assert.ok(all.endsWith(tail));
    assert.equal(Number(out), bytes - head.length - tail.length);
  }
});

test("without a file path what is beyond the record is counted and dropped", async (t) => {
  const b = bench(t);
  await b.open();
  const end = await b.shell("yes | head -c 5000; echo bad >&2", { stdoutPath: "", stderrPath: "" });
  assert.deepEqual([end.stdout.bytes, end.stdout.inline?.length, end.stdout.truncated], [5000, 4096, true]);
  assert.equal(String(end.stderr.inline), "bad\n");
});

test("2 GB of output grow nobody and take seconds", async (t) => {
  const b = bench(t);
  await b.open();
  const warm = await b.shell("yes | head -c 100000");
  const before = residentBytes(b.runnerPid());
  const t0 = performance.now();
  const end = await b.shell("head -c 2000000000 /dev/zero; echo end", { outputLimitBytes: 16 * MIB });
  const seconds = (performance.now() - t0) / 1000;
  assert.equal(end.stdout.bytes, 2_000_000_004);
  assert.equal(readFileSync(b.file(`${end.key}.out`)).length, 16 * MIB);
  const grown = residentBytes(b.runnerPid()) - before;
  assert.ok(grown < 2 * MIB, `the runner grew by ${grown} bytes`);
  assert.ok(seconds < 15, `${seconds} s`);
  assert.equal(warm.exitCode, 0);
});

test("a follower reads what is there so far, from memory, file and ring", async (t) => {
  const b = bench(t);
  await b.open();
  const text = `echo first; while [ ! -e go1 ]; do sleep 0.01; done; seq 1 1000; while [ ! -e go2 ]; do sleep 0.01; done
    seq 1 3000; while [ ! -e go3 ]; do sleep 0.01; done`;
  const key = b.start(text, { outputLimitBytes: 8192 });
  const seen = async (bytes: number) => {
    const total = async () => (await b.client.readOutput(key, "stdout", 0, 0))?.totalBytes ?? 0;
    while ((await total()) < bytes);
  };
  await seen(6);
  assert.equal(String((await b.client.readOutput(key, "stdout", 0, 100))?.data), "first\n");
  assert.equal((await b.client.readOutput(key, "stderr", 0, 100))?.totalBytes, 0);
  writeFileSync(b.file("go1"), "");
  const some = execFileSync("/bin/sh", ["-c", "echo first; seq 1 1000"], { encoding: "utf8" });
  await seen(some.length);
  assert.equal(
    String((await b.client.readOutput(key, "stdout", 10, 65536))?.data),
    some.slice(10, 4096) + "".padEnd(0),
  );
  assert.equal(
    String((await b.client.readOutput(key, "stdout", 4096 - 86, 4000))?.data.subarray(0, 86)),
    some.slice(4010, 4096),
  );
  writeFileSync(b.file("go2"), "");
  const all = execFileSync("/bin/sh", ["-c", "echo first; seq 1 1000; seq 1 3000"], { encoding: "utf8" });
  await seen(all.length);
  let tail = "";
  let offset = 5000;
  for (;;) {
    const window = await b.client.readOutput(key, "stdout", offset, 1000);
    if (window === null || window.data.length === 0) break;
    if (tail === "") assert.equal(window.offset, all.length - 4096);
    tail += String(window.data);
    offset = window.offset + window.data.length;
  }
  assert.equal(tail, all.slice(-4096));
  writeFileSync(b.file("go3"), "");
  await b.end(key);
  assert.equal(await b.client.readOutput(key, "stdout", 0, 10), null);
});

test("a background process that keeps the pipe open ends with the tree, and so does the task", async (t) => {
  const b = bench(t);
  await b.open();
  const end = await b.shell("(setsid sh -c 'while :; do echo x; sleep 0.01; done' &); echo done");
  assert.equal(end.exitCode, 0);
  assert.match(String(end.stdout.inline), /done/);
});

test("an output file is never written through a link or over another file", async (t) => {
  const b = bench(t);
  await b.open();
  writeFileSync(b.file("victim"), "mine");
  for (const [key, make] of [
    ["link", () => symlinkSync(b.file("victim"), b.file("link.out"))],
    ["dangling", () => symlinkSync(b.file("nowhere"), b.file("dangling.out"))],
    ["there", () => writeFileSync(b.file("there.out"), "mine")],
  ] as const) {
    make();
    const end = await b.shell("yes | head -c 10000", { key });
    assert.deepEqual([end.cause, end.stage, end.errno], ["disk", "output", constants.errno.EEXIST]);
  }
  /* A task that exchanges the folder of its log between start and output does not move it. */
  mkdirSync(b.file("logs"));
  const end = await b.shell(`mv logs old; ln -s / logs; yes | head -c 10000`, { stdoutPath: b.file("logs/o") });
  assert.equal(readFileSync(b.file("old/o")).length, 10_000);
  assert.equal(end.cause, "exit");
  assert.equal(readFileSync(b.file("victim"), "utf8"), "mine");
});

test("a full disk under the output ends the task with cause disk, and the runner lives", {
  skip: needs("root"),
}, async (t) => {
  const b = bench(t);
  await b.open();
  b.mount(b.file("small"), "256k");
  const key = b.start("trap '' PIPE; yes; sleep 1000", { stdoutPath: b.file("small/o"), outputLimitBytes: 16 * MIB });
  const end = await b.end(key);
  assert.deepEqual([end.cause, end.stage, end.errno], ["disk", "output", constants.errno.ENOSPC]);
  assert.equal((await b.shell("echo well")).exitCode, 0);
});

test("a full disk under the state directory starts nothing, loses nothing and heals", {
  skip: needs("root"),
}, async (t) => {
  const b = bench(t);
  b.mount(b.stateDir, "512k");
  await b.open();
  const running = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done; exit 4");
  await b.number("pid1");
  execFileSync("/bin/sh", ["-c", `cat /dev/zero > ${b.stateDir}/fill || true`], { stdio: "ignore" });
  writeFileSync(b.file("go"), "");
  assert.equal((await b.end(running)).exitCode, 4);
  /* Until the reserve that was promised to earlier tasks is used up tasks still run; then they end with cause disk. */
  let last = running;
  for (let i = 0; i < 500 && b.ended.get(last)?.cause !== "disk"; i++) {
    last = b.start("head -c 4000 /dev/zero; head -c 4000 /dev/zero >&2");
    await b.end(last);
  }
  assert.deepEqual([b.ended.get(last)?.stage, b.ended.get(last)?.errno], ["record", constants.errno.ENOSPC]);
  execFileSync("rm", [`${b.stateDir}/fill`]);
  assert.equal((await b.shell("exit 6")).exitCode, 6);
});
