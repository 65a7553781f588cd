/** A task gets exactly the argv, environment, folder, descriptors, signals and limits that were asked for. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { countsStorage } from "../../support/agent.ts";
import { bench } from "./harness.ts";

const { ENOENT, EACCES, ENOEXEC, ENOTDIR } = constants.errno;
/** Every byte but NUL, twice in different company, and what shells and locales trip over. */
const ALL_BYTES = Buffer.from(Array.from({ length: 255 }, (_, i) => i + 1));
const AWKWARD = ["", " ", "'", '"', "$(touch x)", "`id`", "\\", "\n", "-n", "ä€🙂", "a=b", "*", "\u0001\u007f"];

test("argv and environment arrive byte for byte", async (t) => {
  const b = bench(t);
  await b.open();
  const argv = ["/bin/sh", "-c", 'cat "/proc/$$/cmdline" /proc/$$/environ', ALL_BYTES, ...AWKWARD];
  const env = [
    Buffer.concat([Buffer.from("BYTES="), ALL_BYTES]),
    ...AWKWARD.map((v, i) => `V${i}=${v}`),
    "",
    "NOEQUALS",
  ];
  const request = b.request(argv, { env });
  b.client.run(0, request);
  const end = await b.end(request.key);
  assert.equal(end.exitCode, 0);
  const expected = Buffer.concat([...argv, ...env].flatMap((item) => [Buffer.from(item as string), Buffer.alloc(1)]));
  assert.deepEqual(end.stdout.inline, expected);
});

test("the environment is built from nothing", async (t) => {
  const b = bench(t);
  await b.open();
  const request = b.request(["/bin/cat", "/proc/self/environ"], { env: [] });
  b.client.run(0, request);
  const end = await b.end(request.key);
  assert.equal(end.stdout.bytes, 0);
  assert.equal(end.exitCode, 0);
});

test("two MiB of arguments and environment are started, three are refused by execve with its error", async (t) => {
  const b = bench(t);
  await b.open();
  const piece = "x".repeat(100_000);
  const fits = b.request(["/bin/true", ...Array.from({ length: 10 }, () => piece)], {
    env: Array.from({ length: 10 }, (_, i) => `V${i}=${piece}`),
  });
  const beyond = b.request(["/bin/true", ...Array.from({ length: 30 }, () => piece)]);
  b.client.run(0, fits);
  b.client.run(0, beyond);
  assert.equal((await b.end(fits.key)).exitCode, 0);
  const end = await b.end(beyond.key);
  assert.deepEqual([end.cause, end.stage, end.errno], ["spawn", "exec", constants.errno.E2BIG]);
});

test("descriptors, signals, process session and folder are clean", async (t) => {
  const b = bench(t);
  await b.open();
  const list = b.request(["/bin/ls", "/proc/self/fd"]);
  b.client.run(0, list);
  /* The fourth is the folder that ls itself reads. */
  assert.equal(String((await b.end(list.key)).stdout.inline), "0\n1\n2\n3\n");
  /* Not asked of a shell, which blocks signals itself while it waits. */
  const signals = b.request(["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
  b.client.run(0, signals);
  assert.match(String((await b.end(signals.key)).stdout.inline), /^SigBlk:\s+0+\nSigIgn:\s+0+\n$/);
  const end = await b.shell(`readlink /proc/$$/fd/0; pwd; umask; cut -d' ' -f1,6 /proc/$$/stat`);
  const lines = String(end.stdout.inline).split("\n");
  assert.deepEqual(lines.slice(0, 3), ["/dev/null", b.root, "0022"]);
  assert.match(lines[3] as string, /^(\d+) \1$/);
});

test("resource limits and the cgroup file are applied before the program begins", async (t) => {
  const b = bench(t);
  await b.open();
  writeFileSync(b.file("procs"), "");
  const end = await b.shell("ulimit -n; ulimit -Hn; ulimit -c", {
    rlimits: [
      { resource: 7, soft: 123, hard: 456 },
      { resource: 4, soft: 0, hard: 0n },
    ],
    cgroupProcs: b.file("procs"),
  });
  assert.equal(String(end.stdout.inline), "123\n456\n0\n");
  assert.equal(readFileSync(b.file("procs"), "utf8"), "0");
});

test("a start that fails says at which step and with which errno", async (t) => {
  const b = bench(t);
  await b.open();
  writeFileSync(b.file("plain"), "#!/bin/true\n");
  writeFileSync(b.file("nothing"), "no interpreter");
  chmodSync(b.file("nothing"), 0o755);
  mkdirSync(b.file("bin"));
  writeFileSync(b.file("bin/tool"), "#!/bin/sh\nexit 7\n");
  chmodSync(b.file("bin/tool"), 0o755);
  writeFileSync(b.file("tool"), "");
  const cases: [Parameters<typeof b.request>, unknown[]][] = [
    [[["/no/such/program"]], ["spawn", "exec", ENOENT, null]],
    [[[b.file("plain")]], ["spawn", "exec", EACCES, null]],
    [[[b.file("nothing")]], ["spawn", "exec", ENOEXEC, null]],
    [[["no-such-program"]], ["spawn", "exec", ENOENT, null]],
    [[[""]], ["spawn", "exec", ENOENT, null]],
    [
      [["true"], { env: [] }],
      ["spawn", "exec", ENOENT, null],
    ],
    /* Found but not executable beats not found; a later one that works beats both. */
    [
      [["tool"], { env: [`PATH=/nowhere:${b.root}`] }],
      ["spawn", "exec", EACCES, null],
    ],
    [
      [["tool"], { env: [`PATH=/nowhere:${b.root}:${b.root}/bin`] }],
      ["exit", null, 0, 7],
    ],
    [
      [["/bin/true"], { cwd: "/no/such/folder" }],
      ["spawn", "chdir", ENOENT, null],
    ],
    [
      [["/bin/true"], { cwd: b.file("plain") }],
      ["spawn", "chdir", ENOTDIR, null],
    ],
    [
      [["/bin/true"], { stdoutPath: "/no/such/folder/out" }],
      ["spawn", "output", ENOENT, null],
    ],
    [
      [["/bin/true"], { cgroupProcs: "/no/such/cgroup" }],
      ["spawn", "cgroup", ENOENT, null],
    ],
    [
      [["/bin/true"], { rlimits: [{ resource: 999, soft: 1, hard: 1 }] }],
      ["spawn", "rlimit", constants.errno.EINVAL, null],
    ],
  ];
  for (const [parameters, expected] of cases) {
    const request = b.request(...parameters);
    b.client.run(0, request);
    const end = await b.end(request.key);
    assert.deepEqual([end.cause, end.stage, end.errno, end.exitCode], expected, JSON.stringify(request.argv));
    b.client.acknowledge(request.key);
  }
});

test("exit status, signal, times and usage are told", async (t) => {
  const b = bench(t);
  await b.open();
  const exit = await b.shell("exit 200");
  assert.deepEqual([exit.cause, exit.exitCode, exit.signal], ["exit", 200, null]);
  const signal = await b.shell("kill -SEGV $$", { rlimits: [{ resource: 4, soft: 0, hard: 0 }] });
  assert.deepEqual([signal.cause, signal.exitCode, signal.signal], ["signal", null, 11]);
  const before = Date.now();
  const work = await b.shell(
    "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; head -c 30000000 /dev/zero | tail -c 30000000 | wc -c",
  );
  assert.ok(work.cpuMs > 20, `cpu ${work.cpuMs}`);
  assert.ok(work.maxRssBytes > 25_000_000, `rss ${work.maxRssBytes}`);
  assert.ok(work.startedAtMs >= before - 2 && work.endedAtMs <= Date.now() + 2 && work.endedAtMs >= work.startedAtMs);
  assert.ok(Math.abs(work.endedAtMs - work.startedAtMs - work.durationMs) < 50);
});

test("what a task and its children wrote to storage is told with their output, and again to the next agent", async (t) => {
  const b = bench(t);
  await b.open();
  const silent = await b.shell("true");
  assert.equal(silent.writtenBytes, 0);
  const end = await b.shell("echo said; (head -c 3000000 /dev/zero > child); head -c 2000000 /dev/zero > own; wait");
  assert.equal(end.stdout.inline?.toString(), "said\n");
  const counted = await countsStorage(b.root);
  assert.ok(end.writtenBytes >= (counted ? 5_000_000 : 0) && end.writtenBytes < 20_000_000, `${end.writtenBytes}`);
  await b.client.close();
  await b.open();
  const again = b.client.adopted.ended.find(({ key }) => key === end.key);
  assert.deepEqual([again?.writtenBytes, again?.stdout.inline?.toString()], [end.writtenBytes, "said\n"]);
});
