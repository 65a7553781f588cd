/**
 * The disk of one host as its agent's outbox sees it: a file that outlives the process and can be full, fail, be slow or
 * be torn when the process dies in the middle of a write. Below the real outbox (agent/report/outbox.ts).
 */
import type { LogDisk, LogFile } from "../../../agent/report/log-file.ts";
import type { CrashPoint } from "../engine/crashes.ts";
import type { Process } from "../engine/process.ts";
import type { World } from "../engine/world.ts";

const OPERATION_MS_MAX = 3;

/** What is wrong with the disks of a world: chances per operation. */
export interface DiskManner {
  failing: number;
  /** Of a read at the start. */
  unreadable: number;
  slowMs: number;
  /** Of a write that takes only a part. */
  short: number;
}

export class HostDisk {
  content = Buffer.alloc(0);
  full = false;
  private readonly world: World;
  private readonly manner: DiskManner;
  /** A write of the living process: whatever part of it has reached the file when that dies. */
  private underway: { batch: Buffer; at: number } | null = null;

  constructor(world: World, manner: DiskManner) {
    this.world = world;
    this.manner = manner;
  }

  /** The disk as this incarnation of the process uses it. `dies` is asked at points where it may die. */
  mount(process: Process, dies: (point: CrashPoint) => boolean): LogDisk {
    const { world, manner } = this;
    /** Settles later, on this process's time; never once it is dead. */
    const operate = <T>(what: string, work: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        const delayMs = world.random.between(0, world.random.chance(0.1) ? manner.slowMs : OPERATION_MS_MAX);
        process.timer(delayMs, () => {
          world.settling = true;
          try {
            if (world.random.chance(what === "read" ? manner.unreadable : manner.failing)) throw failure("EIO", what);
            resolve(work());
          } catch (error) {
            reject(error);
          }
        });
      });
    const file: LogFile = {
      read: () => operate("read", () => Buffer.from(this.content)),
      write: (batch, from, at) => {
        const part = batch.subarray(from);
        // Nothing of a process that died a moment ago goes on.
        if (dies("agent: the outbox begins to write")) return new Promise(() => {});
        this.underway = { batch: part, at };
        const written = operate("write", () => {
          this.underway = null;
          if (this.full) throw failure("ENOSPC", "write");
          const bytes = world.random.chance(manner.short) ? 1 + world.random.below(part.length) : part.length;
          this.put(part.subarray(0, bytes), at);
          return bytes;
        });
        return written.then((bytes) => (dies("agent: the outbox was written") ? new Promise(() => {}) : bytes));
      },
      truncate: (bytes) =>
        operate("truncate", () => {
          this.content = Buffer.from(this.content.subarray(0, bytes));
        }),
      replace: (content) => {
        if (dies("agent: the outbox is being rewritten")) return new Promise(() => {});
        return operate("replace", () => {
          if (this.full) throw failure("ENOSPC", "replace");
          this.content = Buffer.from(content);
        });
      },
      close: () => operate("close", () => {}),
    };
    return {
      open: () => operate("open", () => file),
      later: (delayMs, call) => {
        let planned = true;
        process.timer(delayMs, () => {
          if (!planned) return;
          world.settling = true;
          call();
        });
        return () => {
          planned = false;
        };
      },
    };
  }

  /** The process is dead; what it was writing is there in part. */
  processDied(): void {
    const { underway, world } = this;
    this.underway = null;
    if (underway) this.put(underway.batch.subarray(0, world.random.below(underway.batch.length + 1)), underway.at);
  }

  private put(part: Buffer, at: number): void {
    const end = Math.max(this.content.length, at + part.length);
    const next = Buffer.alloc(end);
    this.content.copy(next);
    part.copy(next, at);
    this.content = next;
  }
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
