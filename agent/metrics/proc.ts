/**
 * What the kernel's text files say, as numbers. Pure; every text may be hostile (a process names itself as it likes), cut
 * off or empty: what cannot be read is undefined, never a throw.
 */

/** Ticks of a second in /proc: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const MS_PER_TICK = 1000 / TICKS_PER_SECOND;
/** A sector of the block layer's counters, whatever the disk's own are. */
const SECTOR_BYTES = 512;
const KIB = 1024;
/** Entry of the auxiliary vector that holds the size of a page. */
const AT_PAGESZ = 6n;

export interface ProcessStat {
  name: string;
  parent: number;
  threads: number;
  /** With the boot it is in, this says for certain which process a number meant. */
  startTicks: number;
  /** User and system time, of children too that were waited for. */
  cpuMs: number;
  residentPages: number;
}

/** `/proc/PID/stat`. The name stands in parentheses and may hold any character, so fields count from the last one. */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  // The first of these is field 3.
  const fields = text.slice(close + 2).split(" ", 22);
  if (fields.length < 22) return undefined;
  const at = (field: number): number => Number(fields[field - 3]);
  const cpuMs = (at(14) + at(15) + at(16) + at(17)) * MS_PER_TICK;
  const stat = {
    name: text.slice(open + 1, close),
    parent: at(4),
    threads: at(20),
    startTicks: at(22),
    cpuMs,
    residentPages: at(24),
  };
  const numbers = [stat.parent, stat.threads, stat.startTicks, stat.cpuMs, stat.residentPages];
  return numbers.every(Number.isSafeInteger) ? stat : undefined;
}

/** `/proc/PID/task/TID/children`. */
export function parseChildren(text: string): number[] {
  return text.split(" ").flatMap((word) => (/^[1-9]\d{0,9}$/.test(word) ? [Number(word)] : []));
}

/** `/proc/PID/io`: from and to storage. */
export function parseIo(text: string): { readBytes: number; writtenBytes: number } | undefined {
  const readBytes = numberAfter(text, /^read_bytes: (\d+)$/m);
  const writtenBytes = numberAfter(text, /^write_bytes: (\d+)$/m);
  return readBytes === undefined || writtenBytes === undefined ? undefined : { readBytes, writtenBytes };
}

/** `/proc/stat`: ticks of all processors together. What the host took away (steal) is neither busy nor idle time of ours. */
export function parseCpu(text: string): { busyTicks: number; allTicks: number; cpus: number } | undefined {
  const line = /^cpu +(\d+(?: \d+){3,})/.exec(text)?.[1];
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(" ")
    .map(Number);
  const busyTicks = user + nice + system + irq + softirq;
  const cpus = text.match(/^cpu\d+ /gm)?.length ?? 0;
  return { busyTicks, allTicks: busyTicks + idle + iowait + steal, cpus };
}

/** `/proc/loadavg`. */
export function parseLoad(text: string): number | undefined {
  return numberAfter(text, /^(\d+(?:\.\d+)?) /);
}

export interface MemoryFigures {
  usedBytes: number;
  limitBytes: number;
  swapUsedBytes: number;
  swapLimitBytes: number;
}

/** `/proc/meminfo`. */
export function parseMeminfo(text: string): MemoryFigures | undefined {
  const kib = (name: string): number | undefined => numberAfter(text, new RegExp(`^${name}: +(\\d+) kB$`, "m"));
  const total = kib("MemTotal");
  const available = kib("MemAvailable") ?? kib("MemFree");
  if (total === undefined || available === undefined) return undefined;
  const swapTotal = kib("SwapTotal") ?? 0;
  const swapFree = kib("SwapFree") ?? 0;
  return {
    usedBytes: Math.max(0, total - available) * KIB,
    limitBytes: total * KIB,
    swapUsedBytes: Math.max(0, swapTotal - swapFree) * KIB,
    swapLimitBytes: swapTotal * KIB,
  };
}

/**
 * Memory of a cgroup of version 2 by its `memory.current`, `memory.max` and `memory.stat`; undefined when it has no limit.
 * File pages that nobody used lately are given back when memory is needed, so they do not count.
 */
export function parseCgroupMemory(
  current: string,
  max: string,
  stat: string,
): { usedBytes: number; limitBytes: number } | undefined {
  if (!/^\d+\s*$/.test(current) || !/^\d+\s*$/.test(max)) return undefined;
  const reclaimable = numberAfter(stat, /^inactive_file (\d+)$/m) ?? 0;
  return { usedBytes: Math.max(0, Number(current) - reclaimable), limitBytes: Number(max) };
}

/** The path of the process's cgroup of version 2 in `/proc/self/cgroup`. */
export function parseCgroupPath(text: string): string | undefined {
  return /^0::(\/.*)$/m.exec(text)?.[1];
}

/** `/proc/net/dev`: all interfaces but loopback. */
export function parseNetwork(text: string): { receivedBytes: number; sentBytes: number } {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (const line of text.split("\n")) {
    // Names may hold colons (`eth0:1`), numbers never do.
    const [, name = "", numbers = ""] = /^\s*(\S+):\s*(\d+(?:\s+\d+){15})\s*$/.exec(line) ?? [];
    if (name === "" || name === "lo") continue;
    const columns = numbers.split(/\s+/).map(Number);
    receivedBytes += columns[0] ?? 0;
    sentBytes += columns[8] ?? 0;
  }
  return { receivedBytes, sentBytes };
}

/** `/sys/dev/block/MAJOR:MINOR/stat`. */
export function parseBlock(text: string): { readBytes: number; writtenBytes: number } | undefined {
  const columns = text.trim().split(/\s+/).map(Number);
  const [read, written] = [columns[2], columns[6]];
  if (columns.length < 11 || !Number.isSafeInteger(read) || !Number.isSafeInteger(written)) return undefined;
  return { readBytes: (read as number) * SECTOR_BYTES, writtenBytes: (written as number) * SECTOR_BYTES };
}

/** The size of a page in `/proc/self/auxv` (pairs of words); 4 KiB when it does not say. */
export function parsePageBytes(vector: Uint8Array): number {
  const view = new DataView(vector.buffer, vector.byteOffset, vector.byteLength);
  for (let at = 0; at + 16 <= vector.byteLength; at += 16) {
    if (view.getBigUint64(at, true) === AT_PAGESZ) return Number(view.getBigUint64(at + 8, true));
  }
  return 4096;
}

function numberAfter(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}
