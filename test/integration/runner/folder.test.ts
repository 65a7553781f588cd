/** Folders that the runner makes: one per task, empty ones handed on, and nothing of another attempt ever moved. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import type { EndedEvent } from "../../../agent/run/supervisor/contract.ts";
import { type Bench, bench } from "./harness.ts";

async function opened(t: Parameters<typeof bench>[0]): Promise<Bench> {
  const it = bench(t);
  await it.open();
  mkdirSync(it.file("tasks"));
  return it;
}

/** Runs a text in the folder `tasks/<index>/<attempt>`, acknowledges it; its end. */
async function run(it: Bench, folder: string, text: string): Promise<EndedEvent> {
  const cwd = it.file(`tasks/${folder}`);
  const more = {
    cwd,
    stdoutPath: `${cwd}/.stdout`,
    stderrPath: `${cwd}/.stderr`,
    makeFolder: true,
    inlineLimitBytes: 0,
  };
  const end = await it.end(it.start(text, more));
  it.client.acknowledge(end.key);
  return end;
}

test("a task runs in a folder of its own, which stays when it left something", async (t) => {
  const it = await opened(t);
  const end = await run(it, "0/1", "pwd");
  assert.equal(end.folderEmpty, false);
  assert.equal(readFileSync(it.file("tasks/0/1/.stdout"), "utf8"), `${it.file("tasks/0/1")}\n`);
  assert.equal(statSync(it.file("tasks/0/1")).mode & 0o7777, 0o755);
});

test("an empty folder becomes that of the next task, whatever its numbers; nothing of the former one remains", async (t) => {
  const it = await opened(t);
  const first = await run(it, "0/1", "true");
  const inode = statSync(it.file("tasks/0/1")).ino;
  assert.equal(first.folderEmpty, true);
  assert.equal((await run(it, "1/1", "true")).folderEmpty, true);
  assert.deepEqual(readdirSync(it.file("tasks")), ["1"]);
  await run(it, "2/7", "echo kept > file");
  assert.deepEqual(readdirSync(it.file("tasks")), ["2"]);
  assert.equal(statSync(it.file("tasks/2/7")).ino, inode);
  await run(it, "3/1", "true");
  assert.equal(readFileSync(it.file("tasks/2/7/file"), "utf8"), "kept\n");
});

test("what another attempt of the same task left is never moved along", async (t) => {
  const it = await opened(t);
  await run(it, "0/1", "echo first > file");
  assert.equal((await run(it, "0/2", "true")).folderEmpty, true);
  await run(it, "1/1", "true");
  assert.equal(readFileSync(it.file("tasks/0/1/file"), "utf8"), "first\n");
  assert.deepEqual(readdirSync(it.file("tasks/0")), ["1"]);
});

test("an empty folder is not put over an index that another attempt is in", async (t) => {
  const it = await opened(t);
  await run(it, "1/1", "echo first > file");
  await run(it, "0/1", "true");
  await run(it, "1/2", "echo second > file");
  assert.equal(readFileSync(it.file("tasks/1/1/file"), "utf8"), "first\n");
  assert.equal(readFileSync(it.file("tasks/1/2/file"), "utf8"), "second\n");
});

test("another attempt that came into the index of a kept folder meanwhile is not moved along", async (t) => {
  const it = await opened(t);
  assert.equal((await run(it, "0/1", "true")).folderEmpty, true);
  // As another lane does for the next attempt of the same task.
  mkdirSync(it.file("tasks/0/2"));
  await run(it, "1/1", "true");
  assert.deepEqual(readdirSync(it.file("tasks/0")), ["2"]);
});

test("a folder that was handed on for long is still looked at: by its time of change, and then closely", async (t) => {
  const it = await opened(t);
  await run(it, "0/1", "true");
  for (let index = 1; index < 40; index++) await run(it, `${index}/1`, "true");
  assert.deepEqual(readdirSync(it.file("tasks")), ["39"]);
  assert.equal((await run(it, "40/1", "touch a && rm a")).folderEmpty, true);
  assert.equal((await run(it, "41/1", "echo x > a")).folderEmpty, false);
  assert.deepEqual(readdirSync(it.file("tasks/41/1")), ["a"]);
  assert.equal((await run(it, "42/1", "mkdir ../2")).folderEmpty, true);
  await run(it, "43/1", "true");
  assert.deepEqual(readdirSync(it.file("tasks/42")), ["2"]);
});

test("what the folders are in may be removed and made anew, and may change", async (t) => {
  const it = await opened(t);
  await run(it, "0/1", "true");
  rmSync(it.file("tasks"), { recursive: true });
  mkdirSync(it.file("tasks"));
  await run(it, "1/1", "pwd");
  assert.equal(readFileSync(it.file("tasks/1/1/.stdout"), "utf8"), `${it.file("tasks/1/1")}\n`);
  await run(it, "2/1", "true");
  mkdirSync(it.file("tasks/other"));
  await run(it, "other/5/3", "pwd");
  assert.equal(readFileSync(it.file("tasks/other/5/3/.stdout"), "utf8"), `${it.file("tasks/other/5/3")}\n`);
  assert.deepEqual(readdirSync(it.file("tasks")).sort(), ["1", "other"]);
});

test("a folder whose rights a task changed, or that holds hidden files or folders, is not handed on", async (t) => {
  const it = await opened(t);
  for (const [index, text] of ["chmod 0500 .", "touch .hidden", "mkdir d", "ln -s x link"].entries()) {
    assert.equal((await run(it, `${index}/1`, text)).folderEmpty, false, text);
  }
  assert.equal((await run(it, "9/1", "true")).folderEmpty, true);
  for (const index of [0, 1, 2, 3]) assert.ok(existsSync(it.file(`tasks/${index}/1`)));
});

test("a task that removed its folder leaves none", async (t) => {
  const it = await opened(t);
  assert.equal((await run(it, "0/1", "rmdir $PWD")).folderEmpty, false);
  assert.equal((await run(it, "1/1", "true")).cause, "exit");
});

test("what has the folder's name already is moved aside, not mixed with", async (t) => {
  const it = await opened(t);
  mkdirSync(it.file("tasks/0/1"), { recursive: true });
  writeFileSync(it.file("tasks/0/1/old"), "old");
  await run(it, "0/1", "ls > list");
  assert.equal(readFileSync(it.file("tasks/0/1/list"), "utf8"), "list\n");
  const aside = readdirSync(it.file("tasks/0")).find((name) => name.startsWith("1.former-"));
  assert.equal(readFileSync(it.file(`tasks/0/${aside}/old`), "utf8"), "old");
});

test("a folder that cannot be made is a failed start with the reason; one of a failed start is handed on", async (t) => {
  const it = await opened(t);
  const end = await run(it, "missing/0/1", "true");
  assert.deepEqual([end.cause, end.stage, end.errno], ["spawn", "folder", constants.errno.ENOENT]);
  const cwd = it.file("tasks/0/1");
  const request = it.request(["/nonexistent"], { cwd, stdoutPath: "", stderrPath: "", makeFolder: true });
  it.client.run(0, request);
  const failed = await it.end(request.key);
  assert.deepEqual([failed.stage, failed.folderEmpty], ["exec", true]);
  await run(it, "1/1", "true");
  assert.deepEqual(readdirSync(it.file("tasks")), ["1"]);
});
