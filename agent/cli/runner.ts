/**
 * The runner program: beside the sources in a checkout; in the single executable it is taken out of it, once per version,
 * into the agent's state directory, where nobody else may change it, and its checksum is looked at before each start.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { access, chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { getAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";
import { AiravataError } from "../../shared/error/error.ts";

/**
 * Absolute path of a runner that may be started. Throws `runner_missing` when there is none for this processor, and
 * `runner_not_executable` when the file system of the state directory does not let programs run.
 */
export async function runnerProgram(stateDir: string): Promise<string> {
  const path = isSea() ? await extractRunner(stateDir, readAssets()) : checkoutRunner();
  try {
    // On a file system mounted noexec the kernel says no here already.
    await access(path, constants.X_OK);
  } catch (cause) {
    throw new AiravataError(
      "runner_not_executable",
      `The runner ${path} may not be executed: its file system is mounted noexec, or its mode was changed. Choose another --output-dir.`,
      { cause },
    );
  }
  return path;
}

interface RunnerAsset {
  bytes: Buffer;
  /** Hexadecimal SHA-256 that the build wrote down. */
  sha256: string;
}

function readAssets(): RunnerAsset {
  return { bytes: Buffer.from(getAsset("runner")), sha256: getAsset("runner.sha256", "utf8").trim() };
}

/** Puts the runner into the state directory unless this very one is there. Exported for tests. */
export async function extractRunner(stateDir: string, asset: RunnerAsset): Promise<string> {
  if (sha256(asset.bytes) !== asset.sha256) {
    throw new AiravataError(
      "runner_missing",
      "The runner inside this executable is damaged: fetch the executable again.",
    );
  }
  // Named by its content: a newer agent puts its own beside it, and runners that still run keep theirs.
  const path = join(stateDir, `runner-${asset.sha256.slice(0, 16)}`);
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    if (await isSame(path, asset.sha256)) {
      await chmod(path, 0o700);
      return path;
    }
    const partial = `${path}.${randomUUID()}`;
    const file = await open(partial, "wx", 0o700);
    try {
      await file.writeFile(asset.bytes);
      // A crash must not leave a file with the right name and half of its content.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
    return path;
  } catch (cause) {
    throw new AiravataError("runner_missing", `The runner cannot be written to ${stateDir}.`, { cause });
  }
}

async function isSame(path: string, expected: string): Promise<boolean> {
  try {
    return sha256(await readFile(path)) === expected;
  } catch {
    return false;
  }
}

function checkoutRunner(): string {
  const name = `airavata-runner-linux-${process.arch}`;
  const path = fileURLToPath(new URL(`../runner/bin/${name}`, import.meta.url));
  if (existsSync(path)) return path;
  throw new AiravataError(
    "runner_missing",
    `There is no runner for ${process.platform}-${process.arch}: agents run on linux-x64 and linux-arm64.`,
  );
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
