/**
 * The outbox: ends that the coordinator has not acknowledged, in an append-only file that survives kill -9 at any point.
 * Every record has a length and a checksum; a torn tail is dropped at the next start. Nothing is written synchronously.
 *
 * An end is written only if its acknowledgement takes longer than usual: until it is acknowledged the runners keep their
 * own record of it, from which the next process would make the same end. So a coordinator that answers costs no write at
 * all. There is no fsync: a power cut, which may take both records, ends the tasks themselves too, and they run again.
 *
 * A failed write (full disk) loses nothing: the records wait in memory, the write is tried again at the same place, and
 * the owner is told to start nothing meanwhile.
 */
import { crc32 } from "node:zlib";
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import type { AttemptEnd } from "./end.ts";
import { type LogDisk, type LogFile, systemDisk } from "./log-file.ts";

/** Ten round trips with a commit in each: what is not acknowledged by then may take long. */
const WRITE_DELAY_MS = 100;
/** Rewritten beyond this when most of it is acknowledged: 8 MiB are some 50,000 ends. */
const COMPACT_BYTES = 8 * 1024 * 1024;
/** Beyond it nothing is appended: 4,000 unacknowledged ends of at most 13 KB (a tail of 4 KiB, escaped) fit. */
const OUTBOX_BYTES_MAX = 64 * 1024 * 1024;
const RETRY_MS = 500;
/** Length and checksum. */
const HEAD_BYTES = 8;
const RECORD_BYTES_MAX = 64 * 1024;
/** Keys of one record: at 45 bytes each they stay below its limit. */
const FORGOTTEN_PER_RECORD = 1_000;

type Entry = { end: AttemptEnd } | { forget: string[] };

export interface OutboxOptions {
  path: string;
  /** A sentence while the outbox cannot be written, null when it can again. */
  onTrouble(reason: string | null): void;
  /** Another one than the machine's own is the simulation's. */
  disk?: LogDisk;
  /** Rewritten beyond this size, when that halves it. */
  compactBytes?: number;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #disk: LogDisk;
  readonly #file: LogFile;
  /** Unacknowledged ends by key. */
  readonly #ends: Map<string, AttemptEnd>;
  /** Those of them that are not in the file. */
  #unwritten = new Map<string, AttemptEnd>();
  /** Keys that are in the file and acknowledged. */
  #forgotten: string[] = [];
  /** Written and good up to here. */
  #bytes: number;
  #writing: Promise<void> | undefined;
  /** Takes back the planned write. */
  #unplan: (() => void) | undefined;
  #troubled = false;

  private constructor(options: OutboxOptions, file: LogFile, ends: Map<string, AttemptEnd>, bytes: number) {
    this.#options = options;
    this.#disk = options.disk ?? systemDisk;
    this.#file = file;
    this.#ends = ends;
    this.#bytes = bytes;
  }

  /** Reads what a former process left; a damaged tail is dropped. Throws `outbox_unusable`. */
  static async open(options: OutboxOptions): Promise<Outbox> {
    try {
      const file = await (options.disk ?? systemDisk).open(options.path);
      const content = await file.read();
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

  append(ends: readonly AttemptEnd[]): void {
    for (const end of ends) {
      this.#ends.set(end.key, end);
      this.#unwritten.set(end.key, end);
    }
    this.#writeLater(WRITE_DELAY_MS);
  }

  /** Drops acknowledged ends; keys that are not here are ignored. */
  forget(keys: readonly string[]): void {
    for (const key of keys) {
      if (this.#ends.delete(key) && !this.#unwritten.delete(key)) this.#forgotten.push(key);
    }
    if (this.#forgotten.length > 0) this.#writeLater(WRITE_DELAY_MS);
  }

  /** Resolves with true when everything that was appended and forgotten is written, with false when that fails at present. */
  async flushed(): Promise<boolean> {
    await this.#writing;
    await this.#write();
    return !this.#troubled;
  }

  async close(): Promise<void> {
    await this.flushed();
    this.#unplan?.();
    await this.#file.close();
  }

  #writeLater(delayMs: number): void {
    if (this.#unplan !== undefined || this.#writing !== undefined) return;
    this.#unplan = this.#disk.later(delayMs, () => void this.#write());
  }

  #write(): Promise<void> {
    this.#unplan?.();
    this.#unplan = undefined;
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
      const retry = this.#troubled ? RETRY_MS : WRITE_DELAY_MS;
      // Also when all that failed was acknowledged meanwhile: the owner starts nothing until it hears that all is well.
      if (this.#troubled || this.#unwritten.size > 0 || this.#forgotten.length > 0) this.#writeLater(retry);
    });
    return this.#writing;
  }

  /** Writes what there is now; what comes meanwhile is written later. */
  async #writeAll(): Promise<void> {
    const ends = this.#unwritten;
    const forgotten = this.#forgotten;
    this.#unwritten = new Map();
    this.#forgotten = [];
    try {
      if (this.#ends.size === 0) await this.#empty();
      else if (ends.size > 0 || forgotten.length > 0) {
        await this.#append(ends, forgotten);
        if (this.#bytes > (this.#options.compactBytes ?? COMPACT_BYTES)) await this.#compact();
      }
      this.#trouble(null);
    } catch (error) {
      // What was acknowledged while we tried needs no record any more.
      for (const [key, end] of this.#unwritten) ends.set(key, end);
      this.#unwritten = new Map([...ends].filter(([key]) => this.#ends.has(key)));
      this.#forgotten = [...forgotten, ...this.#forgotten];
      this.#trouble(`the outbox ${this.#options.path} cannot be written: ${errorLine(error)}`);
    }
  }

  async #append(ends: Map<string, AttemptEnd>, forgotten: string[]): Promise<void> {
    // A key that comes again (another history gives the same numbers) was forgotten before it came.
    const records: Buffer[] = [];
    for (let i = 0; i < forgotten.length; i += FORGOTTEN_PER_RECORD) {
      records.push(encodeRecord({ forget: forgotten.slice(i, i + FORGOTTEN_PER_RECORD) }));
    }
    for (const end of ends.values()) records.push(encodeRecord({ end }));
    const batch = Buffer.concat(records);
    if (this.#bytes + batch.length > OUTBOX_BYTES_MAX) throw new Error(`it has reached ${this.#bytes} bytes`);
    // The place is given: a part that was written before an error is written over.
    for (let at = 0; at < batch.length; ) {
      at += await this.#file.write(batch, at, this.#bytes + at);
    }
    this.#bytes += batch.length;
  }

  /** Nothing is unacknowledged: nothing of the file is needed. */
  async #empty(): Promise<void> {
    if (this.#bytes === 0) return;
    await this.#file.truncate(0);
    this.#bytes = 0;
  }

  /** Writes what is unacknowledged to a new file and puts it in place: whenever we die, one of the two is whole. */
  async #compact(): Promise<void> {
    const written = [...this.#ends.values()].filter(({ key }) => !this.#unwritten.has(key));
    const content = Buffer.concat(written.map((end) => encodeRecord({ end })));
    if (content.length > this.#bytes / 2) return;
    // Acknowledged until now: not in the new file, so nothing is to be forgotten there.
    this.#forgotten = [];
    await this.#file.replace(content);
    this.#bytes = content.length;
  }

  #trouble(reason: string | null): void {
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
