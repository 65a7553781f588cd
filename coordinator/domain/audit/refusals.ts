/**
 * Refusals on their way into the audit: the answer does not wait for them. What is refused again within a minute to the
 * same caller, for the same reason, becomes a number, so that a flood of strangers is an entry a minute for each address.
 * All of it is bounded; what does not fit, because the database is away for long, is counted and the count is told.
 */
import type { Logger } from "../../../shared/log/log.ts";
import { SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { Clock } from "../../../shared/time/clock.ts";
import type { AuditEntry, By } from "../../store/audit.ts";
import { networkOf, siteOf } from "../network.ts";

export interface Refusal {
  by: By;
  /** The route's id. */
  route: string;
  /** What was asked for; null when nobody knows. Never a text that a stranger chose: they are told apart by it. */
  resource: { type: string; id: string } | null;
  code: string;
}

export interface RefusalLog {
  /** Never throws, never waits. */
  record(refusal: Refusal): void;
  /** What is due now, written. It runs by itself; exported for tests and for the end. */
  flush(): Promise<void>;
  /** Writes what there is, once. */
  close(): Promise<void>;
}

/** Half a second after an answer at most: nobody waits for it, and a batch is worth its commit. */
const FLUSH_MS = 500;
const WINDOW_MS = 60_000;
/** Some 600 B each: 6 MB, or ten seconds of a database that is away under a thousand refusals a second. */
const QUEUE_MAX = 10_000;
/** Callers that are counted apart within a minute; all further ones are counted together. */
const WINDOWS_MAX = 10_000;
/** Of one person, or of one network of strangers: what one caller does must not take the room of all others. */
const CALLER_WINDOWS_MAX = 100;
const BATCH_MAX = 500;

interface Window {
  untilMono: number;
  caller: string;
  entry: AuditEntry;
  /** Beyond the first, which was written at once. */
  more: number;
}

export function createRefusalLog(options: {
  append(entries: readonly AuditEntry[]): Promise<void>;
  clock: Pick<Clock, "mono">;
  log: Logger;
}): RefusalLog {
  const { append, clock, log } = options;
  const windows = new Map<string, Window>();
  /** How many windows each caller has. */
  const callers = new Map<string, number>();
  let queue: AuditEntry[] = [];
  let dropped = 0;
  let failing = false;
  let flushing: Promise<void> | undefined;

  const push = (entry: AuditEntry): void => {
    if (queue.length < QUEUE_MAX) queue.push(entry);
    else dropped++;
  };
  const endWindows = (nowMono: number): void => {
    // In the order in which they began, which is that of their ends.
    for (const [key, { untilMono, caller, entry, more }] of windows) {
      if (untilMono > nowMono) return;
      windows.delete(key);
      const left = (callers.get(caller) ?? 1) - 1;
      if (left === 0) callers.delete(caller);
      else callers.set(caller, left);
      if (more > 0)
        push({ ...entry, by: { ...entry.by, request: null }, after: { more, within_seconds: WINDOW_MS / 1000 } });
    }
  };
  const write = async (nowMono: number): Promise<void> => {
    endWindows(nowMono);
    try {
      while (queue.length > 0) {
        await append(queue.slice(0, BATCH_MAX));
        queue = queue.slice(BATCH_MAX);
        if (dropped > 0) {
          push(droppedEntry(dropped));
          dropped = 0;
        }
      }
      if (failing) log.info("refusals reach the audit again");
      failing = false;
    } catch (error) {
      if (!failing) log.warn("refusals do not reach the audit; they wait", { error, waiting: queue.length });
      failing = true;
    }
  };
  const flush = (nowMono = clock.mono()): Promise<void> => {
    flushing ??= write(nowMono).finally(() => {
      flushing = undefined;
    });
    return flushing;
  };
  const timer = setInterval(() => void flush(), FLUSH_MS);
  timer.unref();
  return {
    record: (refusal) => {
      let entry = entryOf(refusal);
      let caller = callerOf(refusal);
      let key = keyOf(refusal);
      if (!windows.has(key) && (callers.get(caller) ?? 0) >= CALLER_WINDOWS_MAX) {
        key = `${caller} and more`;
        entry = { ...entry, resource: null, action: "audit.refusals_many" };
      }
      if (!windows.has(key) && windows.size >= WINDOWS_MAX) {
        caller = "";
        key = keyOf({ ...refusal, by: NOBODY, resource: null });
        entry = { ...entry, by: NOBODY, resource: null };
      }
      const window = windows.get(key);
      if (window) {
        window.more++;
        return;
      }
      callers.set(caller, (callers.get(caller) ?? 0) + 1);
      windows.set(key, { untilMono: clock.mono() + WINDOW_MS, caller, entry, more: 0 });
      push(entry);
    },
    flush: () => flush(),
    close: async () => {
      clearInterval(timer);
      await flushing;
      await flush(Number.POSITIVE_INFINITY);
      const lost = queue.length + dropped;
      if (lost > 0) log.warn("refusals were lost to the audit: the database did not take them", { refusals: lost });
    },
  };
}

const NOBODY: By = { actor: SYSTEM_ACTOR, via: "nobody", address: null, request: null };

/** Whoever has an IPv6 network has each address of it. */
function callerOf({ by }: Refusal): string {
  return by.actor === SYSTEM_ACTOR ? `at ${siteOf(by.address) ?? networkOf(by.address)}` : `actor ${by.actor}`;
}

function keyOf({ by, route, resource, code }: Refusal): string {
  const place = by.address === null ? null : networkOf(by.address);
  return JSON.stringify([by.actor, by.via, place, route, resource?.type, resource?.id, code]);
}

function entryOf({ by, route, resource, code }: Refusal): AuditEntry {
  return { by, action: route, resource, outcome: "refused", code };
}

function droppedEntry(refusals: number): AuditEntry {
  return { by: { ...NOBODY, via: "system" }, action: "audit.refusals_dropped", resource: null, after: { refusals } };
}
