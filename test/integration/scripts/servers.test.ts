/** How the program of a test's server gets where it is looked for: from a folder of checked files, or from its sources. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { goInstall, installProgram } from "../../support/servers/install.ts";

function stage(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "airavata-servers-"));
  const { TEST_SERVERS_CACHE: cache, PATH: path } = process.env;
  t.after(() => {
    rmSync(directory, { recursive: true });
    process.env.PATH = path;
    if (cache === undefined) delete process.env.TEST_SERVERS_CACHE;
    else process.env.TEST_SERVERS_CACHE = cache;
  });
  process.env.TEST_SERVERS_CACHE = directory;
  const packed = zstdCompressSync(Buffer.from("#!/bin/sh\n"));
  const name = "server-1.2.3.zst";
  writeFileSync(join(directory, name), packed);
  const sums = (hash: string): void => writeFileSync(join(directory, "SHA256SUMS"), `${hash}  ${name}\n`);
  sums(createHash("sha256").update(packed).digest("hex"));
  const home = join(directory, "home");
  return { program: join(home, "server-1.2.3", "server"), home, sums };
}

const unexpected = (): never => assert.fail("built");

test("a program comes from the folder of checked files", (t) => {
  const { program } = stage(t);
  installProgram(program, unexpected);
  assert.equal(readFileSync(program, "utf8"), "#!/bin/sh\n");
  assert.equal(statSync(program).mode & 0o777, 0o755);
});

test("a file that is not what its checksum says is not used, and nothing else instead", (t) => {
  const { program, home, sums } = stage(t);
  sums("0".repeat(64));
  assert.throws(
    () => installProgram(program, unexpected),
    /has SHA-256 [\da-f]{64}, but SHA256SUMS beside it says 0{64}/,
  );
  assert.deepEqual(readdirSync(home), []);
});

test("what the folder does not have is built, and half of it is never in its place", (t) => {
  const { home } = stage(t);
  const other = join(home, "other-1", "other");
  assert.throws(() => installProgram(other, () => assert.fail("no compiler")), /no compiler/);
  assert.deepEqual(readdirSync(home), []);
  installProgram(other, (directory) => writeFileSync(join(directory, "other"), "built"));
  assert.equal(readFileSync(other, "utf8"), "built");
});

test("without the folder and without Go a sentence says what to do", (t) => {
  const { program } = stage(t);
  delete process.env.TEST_SERVERS_CACHE;
  process.env.PATH = "/nonexistent";
  assert.throws(
    () => installProgram(program, goInstall("example.org/server@v1.2.3")),
    /Install Go 1\.26\.6 or newer, or set TEST_SERVERS_CACHE/,
  );
  assert.equal(existsSync(program), false);
});
