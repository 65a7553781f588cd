/**
 * The program as it was released before: taken from the project's own history at a pinned commit, beside the present
 * one's packages. What two versions owe each other can be tested only with a real older one.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { ROOT } from "./cli.ts";

/** The last state before protocol version 2: several coordinators on one database, and nothing of what came after. */
const OLDER_COMMIT = "7decf0c8eb8e8efc86a0ce07ab0f96e1eac11e64";

/** Whether this checkout knows that commit: a clone without history does not. */
export function olderIsKnown(): boolean {
  try {
    execFileSync("git", ["-C", ROOT, "cat-file", "-e", `${OLDER_COMMIT}^{commit}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The path of its `bin/airavata`; unpacked once and kept for later runs. */
export function olderProgram(): string {
  const base = join(tmpdir(), `airavata-test-${userInfo().uid}`);
  // Of this checkout alone: its packages are linked.
  const name = createHash("sha256").update(`${OLDER_COMMIT} ${ROOT}`).digest("hex").slice(0, 16);
  const path = join(base, `older-${name}`);
  if (!existsSync(path)) {
    const beside = `${path}.${process.pid}`;
    rmSync(beside, { recursive: true, force: true });
    mkdirSync(beside, { recursive: true, mode: 0o755 });
    const words = ["-C", ROOT, "archive", "--format=tar", OLDER_COMMIT];
    execFileSync("tar", ["-x", "-C", beside], { input: execFileSync("git", words, { maxBuffer: 1 << 28 }) });
    symlinkSync(join(ROOT, "node_modules"), join(beside, "node_modules"));
    try {
      renameSync(beside, path);
    } catch {
      // Another test was faster.
      rmSync(beside, { recursive: true, force: true });
    }
  }
  return join(path, "bin/airavata");
}
