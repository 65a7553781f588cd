/**
 * The file below the outbox and the timer that writes it, as a port: production has a disk and Node's timers, the
 * simulation has a disk that fills, fails and tears.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";

export interface LogFile {
  read(): Promise<Buffer>;
  /** Writes `batch` from position `from` to position `at` of the file; resolves with the number of bytes, maybe not all. */
  write(batch: Buffer, from: number, at: number): Promise<number>;
  truncate(bytes: number): Promise<void>;
  /** Puts a new content in place of the old one: whoever dies meanwhile leaves one of the two whole. */
  replace(content: Buffer): Promise<void>;
  close(): Promise<void>;
}

export interface LogDisk {
  /** Makes the file when it is missing. */
  open(path: string): Promise<LogFile>;
  /** Calls back once; the returned function prevents it. */
  later(delayMs: number, call: () => void): () => void;
}

export const systemDisk: LogDisk = {
  async open(path) {
    return new DiskFile(path, await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
  },
  later(delayMs, call) {
    const timer = setTimeout(call, delayMs).unref();
    return () => clearTimeout(timer);
  },
};

class DiskFile implements LogFile {
  readonly #path: string;
  #file: FileHandle;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  read(): Promise<Buffer> {
    return this.#file.readFile();
  }

  async write(batch: Buffer, from: number, at: number): Promise<number> {
    const { bytesWritten } = await this.#file.write(batch, from, batch.length - from, at);
    return bytesWritten;
  }

  truncate(bytes: number): Promise<void> {
    return this.#file.truncate(bytes);
  }

  async replace(content: Buffer): Promise<void> {
    const beside = `${this.#path}.new`;
    const file = await open(beside, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.writeFile(content);
      await rename(beside, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file.close();
    this.#file = file;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
