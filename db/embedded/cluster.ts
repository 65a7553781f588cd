/**
 * PostgreSQL's data directory: made once by initdb, beside its final place and renamed, so that whoever is killed in the
 * middle leaves nothing that looks like a database.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import type { Binaries } from "./binaries.ts";
import type { RunAs } from "./user.ts";

/** Superuser of the embedded database. */
export const EMBEDDED_USER = "airavata";

/** The data directory below `root`, made when missing. Throws `data_directory_invalid` for one of another major version. */
export async function ensureCluster(root: string, binaries: Binaries, runAs: RunAs, password: string): Promise<string> {
  const data = join(root, "data");
  const version = await readFile(join(data, "PG_VERSION"), "utf8").catch(() => null);
  if (version === null) await initialize(root, data, binaries, runAs, password);
  else if (Number.parseInt(version, 10) !== binaries.major) {
    throw new AiravataError(
      "data_directory_invalid",
      `${data} was made by PostgreSQL ${version.trim()}, but the embedded one is version ${binaries.major}: use another ` +
        "--data-dir, or dump it with its own version and load it into the new one",
    );
  }
  return data;
}

/** The superuser's password, kept for its owner alone. */
export async function ensurePassword(root: string): Promise<string> {
  const path = join(root, "password");
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const exists = await readFile(join(root, "data", "PG_VERSION")).then(
    () => true,
    () => false,
  );
  if (exists) {
    throw new AiravataError(
      "data_directory_invalid",
      `${path} is missing, so the database beside it cannot be opened: put the file back, or use another --data-dir`,
    );
  }
  const password = randomBytes(24).toString("base64url");
  // A second process that starts at the same moment must use the same one.
  await writeFile(path, `${password}\n`, { mode: 0o600, flag: "wx" }).catch(() => {});
  return (await readFile(path, "utf8")).trim();
}

async function initialize(
  root: string,
  data: string,
  binaries: Binaries,
  runAs: RunAs,
  password: string,
): Promise<void> {
  const fresh = join(root, `data-new-${process.pid}`);
  const passwordFile = `${fresh}.password`;
  await rm(fresh, { recursive: true, force: true });
  try {
    await mkdir(fresh, { mode: 0o700 });
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (runAs) for (const path of [fresh, passwordFile]) await chown(path, runAs.uid, runAs.gid);
    await runInitdb(binaries, fresh, passwordFile, runAs);
    await rename(fresh, data);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await rm(passwordFile, { force: true });
  }
}

function runInitdb(binaries: Binaries, data: string, passwordFile: string, runAs: RunAs): Promise<void> {
  const words = ["-D", data, "-U", EMBEDDED_USER, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"];
  words.push("--locale=C", "--encoding=UTF8", "--no-instructions");
  const child = spawn(join(binaries.bin, "initdb"), words, {
    ...(runAs ?? {}),
    cwd: data,
    env: { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const take = (part: Buffer): void => {
    output += part.toString("utf8");
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(embeddedFailure("PostgreSQL's initdb could not be run", output, error)));
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(embeddedFailure(`PostgreSQL's initdb ended with status ${code}`, output));
    });
  });
}

/** What a program of PostgreSQL said last, in a sentence; a full disk gets its own. */
export function embeddedFailure(what: string, output: string, cause?: unknown): AiravataError {
  if (/No space left on device|Disk quota exceeded/.test(output)) {
    return new AiravataError("disk_full", `${what}: the disk is full; free some space, or use another --data-dir`);
  }
  const last = output.trim().split("\n").slice(-3).join(" ").slice(-500);
  return new AiravataError("embedded_database_failed", last ? `${what}: ${last}` : what, { cause });
}
