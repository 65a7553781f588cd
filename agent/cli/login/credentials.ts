/**
 * Logins of this person, one per server, in `credentials.json` beside the configuration: readable by its owner alone,
 * written whole or not at all, changed by one process at a time.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { Login } from "../../../shared/api/account.ts";
import { AiravataError } from "../../../shared/error/error.ts";

const StoredLogin = Login.omit({ token_type: true, password_must_change: true });
export type StoredLogin = z.infer<typeof StoredLogin>;

const File = z.object({ version: z.literal(1), servers: z.record(z.string(), StoredLogin) });

/** A refresh takes a moment, thirty seconds at worst; who holds the lock longer has died. */
const LOCK_STALE_MS = 60_000;
const LOCK_POLL_MS = 25;

export class Credentials {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** The login at the server's origin. Throws `setting_invalid` when others can read the file, or it is none of ours. */
  async find(server: string): Promise<StoredLogin | undefined> {
    return (await this.#read())[originOf(server)];
  }

  /** Puts the login there, or takes it away. */
  async put(server: string, login: StoredLogin | undefined): Promise<void> {
    await this.locked(() => this.putLocked(server, login));
  }

  /** For whoever holds the lock. */
  async putLocked(server: string, login: StoredLogin | undefined): Promise<void> {
    const { [originOf(server)]: _before, ...others } = await this.#read();
    const servers = login === undefined ? others : { ...others, [originOf(server)]: login };
    const partial = `${this.path}.${process.pid}.${randomBytes(4).toString("hex")}`;
    try {
      const file = await open(partial, "wx", 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ version: 1, servers }, null, 2)}\n`);
        // A refresh token that is lost with the machine's power is a login that is lost.
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(partial, this.path);
    } catch (cause) {
      await rm(partial, { force: true });
      throw new AiravataError("setting_invalid", `The login cannot be kept in ${this.path}.`, { cause });
    }
  }

  /** Runs `work` while no other process of this person does. */
  async locked<T>(work: () => Promise<T>): Promise<T> {
    const lock = `${this.path}.lock`;
    await this.#take(lock);
    try {
      return await work();
    } finally {
      await rm(lock, { force: true });
    }
  }

  async #take(lock: string): Promise<void> {
    for (;;) {
      try {
        await mkdir(dirname(lock), { recursive: true, mode: 0o700 });
        await (await open(lock, "wx", 0o600)).close();
        return;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "EEXIST") {
          throw new AiravataError("setting_invalid", `The login cannot be kept in ${this.path}.`, { cause });
        }
      }
      const age = await stat(lock).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      );
      if (age > LOCK_STALE_MS) await rm(lock, { force: true });
      else await delay(LOCK_POLL_MS);
    }
  }

  async #read(): Promise<Record<string, StoredLogin>> {
    let text: string;
    try {
      const { mode, uid } = await stat(this.path);
      if ((mode & 0o077) !== 0) {
        throw new AiravataError(
          "setting_invalid",
          `${this.path} can be read by others: "chmod 600 ${this.path}", and if they may have read it, "airavata auth logout --everywhere".`,
        );
      }
      const user = process.getuid?.() ?? uid;
      if (uid !== user) {
        throw new AiravataError(
          "setting_invalid",
          `${this.path} belongs to user ${uid}, not to ${user} who runs this.`,
        );
      }
      text = await readFile(this.path, "utf8");
    } catch (cause) {
      if (cause instanceof AiravataError) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return {};
      throw new AiravataError("setting_invalid", `${this.path} cannot be read.`, { cause });
    }
    const parsed = File.safeParse(parseJson(text));
    if (parsed.success) return parsed.data.servers;
    throw new AiravataError("setting_invalid", `${this.path} is not what this version keeps logins in: remove it.`);
  }
}

/** A token is only ever shown to the server that it was made for. */
function originOf(server: string): string {
  return new URL(server).origin;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
