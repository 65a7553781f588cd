/**
 * The data directory of one machine: where it is, that it is ours, the operator's token in it, and `stack.json`, which
 * names the live stack. Files are written whole or not at all, readable by their owner only.
 */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import { isAlive, type ProcessIdentity } from "./process.ts";

/** `$XDG_DATA_HOME/airavata`; as root `/var/lib/airavata`, where PostgreSQL's own user can reach it. */
export function defaultDataDirectory(environment: NodeJS.ProcessEnv): string {
  if (process.getuid?.() === 0) return "/var/lib/airavata";
  const base = environment.XDG_DATA_HOME;
  // A relative path is to be ignored, says the XDG specification.
  return join(base && isAbsolute(base) ? base : join(homedir(), ".local/share"), "airavata");
}

/** Makes it when it is missing. Throws `data_directory_invalid` when it is a file, another user's, or cannot be made. */
export async function openDataDirectory(path: string): Promise<string> {
  const directory = resolve(path);
  try {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const { uid } = await stat(directory);
    const user = process.getuid?.() ?? uid;
    if (uid !== user && user !== 0) {
      throw invalid(`the data directory ${directory} belongs to user ${uid}, but this process runs as user ${user}`);
    }
    return directory;
  } catch (cause) {
    if (cause instanceof AiravataError) throw cause;
    throw invalid(`the data directory ${directory} cannot be used`, cause);
  }
}

/** A secret with fewer characters is guessed sooner or later. */
const SECRET_LENGTH_MIN = 20;

/** The operator's token, made when there is none. Throws `data_directory_invalid`. */
export function operatorToken(directory: string, log: Logger): Promise<string> {
  return secretFile(join(directory, "token"), () => `aop_${randomBytes(32).toString("base64url")}`, log);
}

/** The key that signs access tokens, made when there is none. Throws `data_directory_invalid`. */
export function signingKey(directory: string, log: Logger): Promise<string> {
  return secretFile(join(directory, "jwt-key"), () => randomBytes(48).toString("base64url"), log);
}

async function secretFile(path: string, make: () => string, log: Logger): Promise<string> {
  const existing = await readSecret(path, log);
  if (existing !== undefined) return existing;
  const partial = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(partial, `${make()}\n`, { mode: 0o600, flag: "wx" });
    // A link fails when the name is taken: of two first starts one wins, and both read the winner's.
    await link(partial, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } catch (cause) {
    throw invalid(`the secret cannot be written to ${path}`, cause);
  } finally {
    await rm(partial, { force: true });
  }
  const secret = await readSecret(path, log);
  if (secret === undefined) throw invalid(`${path} vanished while it was made`);
  return secret;
}

async function readSecret(path: string, log: Logger): Promise<string | undefined> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      log.warn("a secret could be read by others; its mode is 0600 again, replace it if they may have", { path });
      await chmod(path, 0o600);
    }
    const token = (await readFile(path, "utf8")).trim();
    if (token.length >= SECRET_LENGTH_MIN && /^[\x21-\x7e]+$/.test(token)) return token;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw invalid(`the secret ${path} cannot be read`, cause);
  }
  throw invalid(
    `${path} must hold one secret of at least ${SECRET_LENGTH_MIN} visible characters; remove it for a new one`,
  );
}

/** What `stack.json` says. */
export interface Stack {
  process: ProcessIdentity;
  url: string;
  version: string;
}

/** The live stack of the directory; undefined when none is named or its process is gone. */
export async function liveStack(directory: string): Promise<Stack | undefined> {
  const stack = await readStack(directory);
  return stack && (await isAlive(stack.process)) ? stack : undefined;
}

async function readStack(directory: string): Promise<Stack | undefined> {
  try {
    const { pid, start_time, boot_id, url, version } = JSON.parse(await readFile(stackPath(directory), "utf8"));
    if (typeof pid !== "number" || typeof url !== "string") return undefined;
    return {
      process: { pid, startTime: String(start_time), bootId: String(boot_id) },
      url,
      version: String(version),
    };
  } catch {
    // Missing, or half of a machine's crash: both name no live stack.
    return undefined;
  }
}

/** Names this stack as the live one. */
export async function writeStack(directory: string, { process: owner, url, version }: Stack): Promise<void> {
  const path = stackPath(directory);
  const partial = `${path}.${owner.pid}`;
  const content = { pid: owner.pid, start_time: owner.startTime, boot_id: owner.bootId, url, version };
  await writeFile(partial, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  await rename(partial, path);
}

/** Takes the name away, unless another stack has it by now. */
export async function removeStack(directory: string, owner: ProcessIdentity): Promise<void> {
  const stack = await readStack(directory);
  if (stack?.process.pid === owner.pid && stack.process.startTime === owner.startTime) {
    await rm(stackPath(directory), { force: true });
  }
}

function stackPath(directory: string): string {
  return join(directory, "stack.json");
}

function invalid(message: string, cause?: unknown): AiravataError {
  return new AiravataError("data_directory_invalid", message, cause === undefined ? {} : { cause });
}
