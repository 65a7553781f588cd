/**
 * The outbox: ends that the coordinator has not acknowledged, in an append-only file that survives kill -9 at any point.
 * Every record has a length and a checksum; a torn tail is dropped at the next start. What has gathered in a loop turn is
 * one write; nothing is written synchronously. There is no fsync: the runners keep their own record of every end until it
 * is acknowledged, and a power cut, which may take both, ends the tasks themselves too: they are run again.
 *
 * A failed write (full disk) loses nothing: the records wait in memory, the write is tried again at the same place, and
 * the owner is told to start nothing meanwhile.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import type { AttemptEnd } from "./end.ts";

/** Rewritten beyond this when most of it is acknowledged: 8 MiB are some 50,000 ends. */
const COMPACT_BYTES = 8 * 1024 * 1024;
/** Beyond it nothing is appended: 4,000 unacknowledged ends of at most 13 KB (a tail of 4 KiB, escaped) fit. */
const OUTBOX_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_MS = 500;
/** Length and checksum. */
const HEAD_BYTES = 8;
const RECORD_BYTES_MAX = 64 * 1024;

type Entry = { end: AttemptEnd } | { forget: string[] };

export interface OutboxOptions {
  path: string;
  /** A sentence while the outbox cannot be written, null when it can again. */
  onTrouble(reason: string | null): void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #file: FileHandle;
  /** Unacknowledged ends by key. */
  readonly #ends: Map<string, AttemptEnd>;
  /** Written and good up to here. */
  #bytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #troubled = false;

  private constructor(options: OutboxOptions, file: FileHandle, ends: Map<string, AttemptEnd>, bytes: number) {
    this.#options = options;
    this.#file = file;
    this.#ends = ends;
    this.#bytes = bytes;
  }

  /** Reads what a former process left; a damaged tail is dropped. Throws `outbox_unusable`. */
  static async open(options: OutboxOptions): Promise<Outbox> {
    try {
      const file = await open(options.path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      const content = await file.readFile();
      const { ends, bytes } = readRecords(content);
      if (bytes < content.length) await file.truncate(bytes);
      return new Outbox(options, file, ends, bytes);
    } catch (cause) {
      const sentence = `the outbox ${options.path} cannot be opened; see that the state directory is the agent's own and writable`;
      throw new AiravataError("outbox_unusable", sentence, { cause });
    }
  }

  /** Unacknowledged ends, oldest first. */
  ends(): AttemptEnd[] {
    return [...this.#ends.values()];
  }

  has(key: string): boolean {
    return this.#ends.has(key);
  }

  /** Adds ends; they are written with whatever else has gathered by the end of this loop turn. */
  append(ends: readonly AttemptEnd[]): void {
    for (const end of ends) {
      this.#ends.set(end.key, end);
      this.#add({ end });
    }
  }

  /** Drops acknowledged ends; keys that are not here are ignored. */
  forget(keys: readonly string[]): void {
    const known = keys.filter((key) => this.#ends.delete(key));
    // Keys of one record stay far below its limit.
    for (let i = 0; i < known.length; i += 1_000) this.#add({ forget: known.slice(i, i + 1_000) });
  }

  /** Resolves when everything that was appended is written, or cannot be at present. */
  async flushed(): Promise<void> {
    await this.#write();
  }

  async close(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#write();
    clearTimeout(this.#retry);
    await this.#file.close();
  }

  #add(entry: Entry): void {
    const record = encodeRecord(entry);
    this.#pending.push(record);
    this.#pendingBytes += record.length;
    if (this.#writing === undefined && this.#retry === undefined) {
      this.#writing = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#writeAll());
    }
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeAll();
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        if (this.#bytes + this.#pendingBytes > OUTBOX_BYTES_MAX) throw new Error(`it has reached ${this.#bytes} bytes`);
        const batch = Buffer.concat(this.#pending);
        const taken = this.#pending.length;
        // The place is given: a part that was written before an error is written over.
        for (let at = 0; at < batch.length; ) {
          const { bytesWritten } = await this.#file.write(batch, at, batch.length - at, this.#bytes + at);
          at += bytesWritten;
        }
        this.#bytes += batch.length;
        this.#pending.splice(0, taken);
        this.#pendingBytes -= batch.length;
        if (this.#ends.size === 0 && this.#pending.length === 0) await this.#empty();
        else if (this.#bytes > COMPACT_BYTES) await this.#compact();
      }
      this.#trouble(null);
    } catch (error) {
      this.#trouble(`the outbox ${this.#options.path} cannot be written: ${errorLine(error)}`);
    } finally {
      this.#writing = undefined;
    }
  }

  /** Nothing is unacknowledged: nothing of the file is needed. */
  async #empty(): Promise<void> {
    await this.#file.truncate(0);
    this.#bytes = 0;
  }

  /** Writes what is unacknowledged to a new file and puts it in place: whenever we die, one of the two is whole. */
  async #compact(): Promise<void> {
    const records = [...this.#ends.values()].map((end) => encodeRecord({ end }));
    const content = Buffer.concat(records);
    if (content.length > this.#bytes / 2) return;
    const beside = `${this.#options.path}.new`;
    const file = await open(beside, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.writeFile(content);
      await rename(beside, this.#options.path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file.close();
    this.#file = file;
    this.#bytes = content.length;
    // Ends that gathered meanwhile are in the new file already; written again they say the same.
  }

  #trouble(reason: string | null): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (reason !== null) {
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        void this.#write();
      }, RETRY_MS);
      this.#retry.unref();
    }
    if (reason === null && !this.#troubled) return;
    this.#troubled = reason !== null;
    this.#options.onTrouble(reason);
  }
}

function encodeRecord(entry: Entry): Buffer {
  const body = Buffer.from(JSON.stringify(entry));
  const record = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  record.writeUInt32LE(body.length, 0);
  record.writeUInt32LE(crc32(body), 4);
  body.copy(record, HEAD_BYTES);
  return record;
}

function readRecords(content: Buffer): { ends: Map<string, AttemptEnd>; bytes: number } {
  const ends = new Map<string, AttemptEnd>();
  let at = 0;
  while (at + HEAD_BYTES <= content.length) {
    const length = content.readUInt32LE(at);
    const from = at + HEAD_BYTES;
    if (length === 0 || length > RECORD_BYTES_MAX || from + length > content.length) break;
    const body = content.subarray(from, from + length);
    if (crc32(body) !== content.readUInt32LE(at + 4)) break;
    const entry = JSON.parse(body.toString()) as Entry;
    if ("end" in entry) ends.set(entry.end.key, entry.end);
    else for (const key of entry.forget) ends.delete(key);
    at = from + length;
  }
  return { ends, bytes: at };
}
