import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { extractRunner, runnerProgram } from "../../../agent/cli/runner.ts";

const directory = mkdtempSync(join(tmpdir(), "airavata-runner-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const bytes = Buffer.from("#!/bin/sh\nexit 0\n");
const asset = { bytes, sha256: createHash("sha256").update(bytes).digest("hex") };

test("it is put there once, for its owner alone, and put there again when it was changed", async () => {
  const stateDir = join(directory, "state");
  const path = await extractRunner(stateDir, asset);
  assert.deepEqual(readFileSync(path), bytes);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(stateDir).mode & 0o777, 0o700);
  const inode = statSync(path).ino;
  assert.equal(await extractRunner(stateDir, asset), path);
  assert.equal(statSync(path).ino, inode, "the same one stays: a supervisor may be running it");
  writeFileSync(path, "other");
  await extractRunner(stateDir, asset);
  assert.deepEqual(readFileSync(path), bytes);
  assert.equal(readdirSync(stateDir).length, 1, "nothing else is left behind");
});

test("many at once end with one whole file", async () => {
  const stateDir = join(directory, "many");
  const paths = await Promise.all(Array.from({ length: 8 }, () => extractRunner(stateDir, asset)));
  assert.equal(new Set(paths).size, 1);
  assert.deepEqual(readFileSync(paths[0] as string), bytes);
});

test("a damaged executable is refused", async () => {
  await assert.rejects(extractRunner(directory, { ...asset, sha256: "0".repeat(64) }), { code: "runner_missing" });
});

test("a directory that cannot be written is a sentence", async () => {
  const file = join(directory, "file");
  writeFileSync(file, "");
  await assert.rejects(extractRunner(join(file, "state"), asset), {
    code: "runner_missing",
    message: /cannot be written/,
  });
});

test("in a checkout it is the committed one", async () => {
  assert.match(await runnerProgram(directory), /agent\/runner\/bin\/airavata-runner-linux-(x64|arm64)$/);
});
