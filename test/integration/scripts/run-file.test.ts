/**
 * The runner of `npm test`: a crash, a hang, an empty file and a process left behind are failures that say what happened.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runFile } from "../../../scripts/test/file.ts";

const directory = mkdtempSync(join(tmpdir(), "airavata run file "));
after(() => rmSync(directory, { recursive: true }));

const HANG_LIMIT_MS = 60_000;
const LEFTOVER_GRACE_MS = 500;
let files = 0;

/** Runs a test file with this text. */
function runText(text: string, timeoutMs = HANG_LIMIT_MS) {
  const file = join(directory, `${++files}.test.mjs`);
  writeFileSync(file, `import { test } from "node:test";\n${text}\n`);
  return runFile(file, timeoutMs, LEFTOVER_GRACE_MS);
}

test("passing, failing and left-out tests are counted as Node counts them", async () => {
  const { ok, counts, failures, leftOut, output } = await runText(`
    test("good", () => {});
    test("bad", () => { console.log("said before"); throw new Error("because"); });
    test("later", { skip: "needs a moon" }, () => {});`);
  assert.equal(ok, false);
  assert.deepEqual([counts.tests, counts.passed, counts.failed, counts.skipped], [3, 1, 1, 1]);
  assert.deepEqual(
    failures.map(({ name }) => name),
    ["bad"],
  );
  assert.match(failures[0]?.error ?? "", /because/);
  assert.match(output, /said before/);
  assert.deepEqual(
    leftOut.map(({ name, reason }) => [name, reason]),
    [["later", "needs a moon"]],
  );
});

test("a file that passes is ok", async () => {
  const { ok, counts } = await runText('test("good", () => {});');
  assert.equal(ok, true);
  assert.deepEqual([counts.tests, counts.passed, counts.failed], [1, 1, 0]);
});

test("a crash before the first test is one failed test, with its output", async () => {
  const { ok, counts, failures, output } = await runText('throw new Error("at import");');
  assert.equal(ok, false);
  assert.deepEqual([counts.tests, counts.failed], [1, 1]);
  assert.match(failures[0]?.error ?? "", /ended with 1/);
  assert.match(output, /at import/);
});

test("a crash after passing tests is a failure too", async () => {
  const { ok, counts } = await runText(
    'test("good", () => {}); test("dies", () => process.kill(process.pid, "SIGKILL"));',
  );
  assert.equal(ok, false);
  assert.ok(counts.failed >= 1);
});

test("a file without a test is a failure", async () => {
  const { ok, failures } = await runText("");
  assert.equal(ok, false);
  assert.equal(failures[0]?.error, "the file holds no test");
});

test("a hang is ended and named", async () => {
  const { ok, failures } = await runText(
    'test("good", () => {}); test("stuck", () => new Promise(() => setInterval(() => {}, 1e6)));',
    2_000,
  );
  assert.equal(ok, false);
  assert.deepEqual(
    failures.map(({ name }) => name),
    ["stuck"],
  );
  assert.match(failures[0]?.error ?? "", /did not end within 2 s/);
});

test("a hang is ended with what it started, also in another group and without a mark", async () => {
  const note = join(directory, "pid");
  const { ok, leftovers } = await runText(
    `
    import { spawn } from "node:child_process";
    import { writeFileSync } from "node:fs";
    test("stuck", () => {
      const child = spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore", env: {} });
      writeFileSync(${JSON.stringify(note)}, String(child.pid));
      return new Promise(() => setInterval(() => {}, 1e6));
    });`,
    2_000,
  );
  assert.equal(ok, false);
  assert.deepEqual(leftovers, []);
  assertDead(Number(readFileSync(note, "utf8")));
});

test("a process left behind is killed, named and a failure", async () => {
  const { ok, leftovers, counts } = await runText(`
    import { spawn } from "node:child_process";
    test("leaks", () => { spawn("sleep", ["1000"], { detached: true, stdio: "ignore" }).unref(); });`);
  assert.equal(ok, false);
  assert.equal(counts.passed, 1);
  assert.deepEqual(
    leftovers.map(({ command }) => command),
    ["sleep 1000"],
  );
  assertDead(leftovers[0]?.pid ?? 0);
});

/** Whoever inherited it may not have reaped it yet: a zombie is dead. */
function assertDead(pid: number): void {
  const stat = `/proc/${pid}/stat`;
  assert.match(existsSync(stat) ? readFileSync(stat, "utf8") : "Z", /Z/);
}
