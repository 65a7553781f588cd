/**
 * Puts a server's program where `programs.ts` says: from the folder that TEST_SERVERS_CACHE names, when its compressed
 * file is there and has the checksum of that folder's SHA256SUMS, else built from source. A program that stands in its
 * place is whole: it is made beside it and renamed.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

/** Throws a sentence when the program can come from nowhere. */
export function installProgram(program: string, build: (directory: string) => void): void {
  const directory = dirname(program);
  mkdirSync(dirname(directory), { recursive: true });
  const made = mkdtempSync(`${directory}-new-`);
  try {
    if (!unpackCached(program, made)) build(made);
    chmodSync(join(made, basename(program)), 0o755);
    // mkdtemp's 0700 would keep out a user that a test starts the server as.
    chmodSync(made, 0o755);
    rmSync(directory, { recursive: true, force: true });
    renameSync(made, directory);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** `go install` of a main package at a version; its program is named like the package's last part. */
export function goInstall(what: string): (directory: string) => void {
  return (directory) => {
    const env = { ...process.env, CGO_ENABLED: "0", GOBIN: directory, GOTOOLCHAIN: process.env.GOTOOLCHAIN ?? "auto" };
    const args = ["install", "-trimpath", "-ldflags=-s -w", what];
    const { status, error } = spawnSync("go", args, { stdio: "inherit", env });
    if ((error as NodeJS.ErrnoException | undefined)?.code === "ENOENT") {
      throw new Error(
        `${what} comes from the folder that TEST_SERVERS_CACHE names or is built with Go: neither is there. Install Go 1.26.6 or newer, or set TEST_SERVERS_CACHE.`,
      );
    }
    if (status !== 0) throw new Error(`"go ${args.join(" ")}" ended with ${status}; its output above says why.`);
  };
}

/** False when the cache has no such file. A file that is not what the checksum says is an error, not a miss. */
function unpackCached(program: string, directory: string): boolean {
  const cache = process.env.TEST_SERVERS_CACHE;
  if (cache === undefined || cache === "") return false;
  const name = `${basename(dirname(program))}.zst`;
  const packed = join(cache, name);
  if (!existsSync(packed)) return false;
  const sums = readFileSync(join(cache, "SHA256SUMS"), "utf8").split("\n");
  const wanted = sums.find((line) => line.endsWith(`  ${name}`))?.slice(0, 64);
  const bytes = readFileSync(packed);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== wanted) {
    throw new Error(`${packed} has SHA-256 ${found}, but SHA256SUMS beside it says ${wanted ?? "nothing about it"}.`);
  }
  writeFileSync(join(directory, basename(program)), zstdDecompressSync(bytes));
  return true;
}
