/**
 * Which user PostgreSQL runs as. It refuses root; so as root it runs as the owner of its data, at first as user
 * `postgres`, which is made when it is missing. Every directory above must let that user pass.
 */
import { execFile } from "node:child_process";
import { chmod, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import { AiravataError } from "../../shared/error/error.ts";

/** Ids to run as; null: as we are. */
export type RunAs = { uid: number; gid: number } | null;

const USER = "postgres";
const run = promisify(execFile);

/** `data` is PostgreSQL's data directory, which need not exist. */
export async function chooseUser(data: string): Promise<RunAs> {
  if (process.getuid?.() !== 0) return null;
  try {
    const { uid, gid } = await stat(data);
    return { uid, gid };
  } catch {
    return (await idsOf(USER)) ?? (await makeUser());
  }
}

async function idsOf(user: string): Promise<RunAs> {
  try {
    const [uid, gid] = await Promise.all([run("id", ["-u", user]), run("id", ["-g", user])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

async function makeUser(): Promise<RunAs> {
  let cause: unknown;
  const attempts: [string, string[]][] = [
    [
      "useradd",
      ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false", USER],
    ],
    ["adduser", ["-S", "-D", "-H", "-s", "/bin/false", USER]],
  ];
  for (const [program, words] of attempts) {
    try {
      await run(program, words);
    } catch (error) {
      cause ??= error;
    }
    const ids = await idsOf(USER);
    if (ids) return ids;
  }
  throw new AiravataError(
    "embedded_database_failed",
    `PostgreSQL refuses to run as root, and user "${USER}" is missing and could not be made: create it (useradd --system ` +
      `${USER}), start as a plain user, or set DATABASE_URL`,
    { cause },
  );
}

/** Lets the user pass through our own `directory` and refuses, naming it, a directory above that does not. */
export async function letPass(directory: string, runAs: RunAs): Promise<void> {
  if (runAs === null) return;
  const { mode } = await stat(directory);
  // Others may pass but not list: what must stay secret in it is 0600 itself.
  if ((mode & 0o001) === 0) await chmod(directory, (mode & 0o7777) | 0o011);
  for (let above = dirname(resolve(directory)); ; above = dirname(above)) {
    if (!passes(await stat(above), runAs)) {
      throw new AiravataError(
        "data_directory_invalid",
        `PostgreSQL runs as user "${USER}" because it refuses root, and that user cannot enter ${above}: choose another ` +
          `--data-dir (the default is /var/lib/airavata), or run chmod o+x "${above}"`,
      );
    }
    if (above === dirname(above)) return;
  }
}

function passes(stats: { mode: number; uid: number; gid: number }, runAs: { uid: number; gid: number }): boolean {
  if (stats.uid === runAs.uid) return (stats.mode & 0o100) !== 0;
  if (stats.gid === runAs.gid) return (stats.mode & 0o010) !== 0;
  return (stats.mode & 0o001) !== 0;
}
