/**
 * What this machine lets the agent use: processors by affinity and cgroup, memory by machine and cgroup, gpus by what the
 * driver shows, disk by what is free below the output directory. What the operator states wins over what is found.
 */
import { execFile } from "node:child_process";
import { readdir, readFile, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { promisify } from "node:util";
import { AiravataError } from "../../shared/error/error.ts";
import type { Capacity } from "../../shared/model/requirement.ts";

/** Stated by the operator; undefined: find out. */
export interface StatedResources {
  cpus?: number | undefined;
  memoryBytes?: number | undefined;
  gpus?: number | undefined;
  vramBytes?: number | undefined;
  diskBytes?: number | undefined;
  /** `name=value` each. */
  labels: readonly string[];
  /** `name=amount` each. */
  custom: readonly string[];
}

export interface MachineResources {
  capacity: Capacity;
  /** Numbers of the gpus as CUDA_VISIBLE_DEVICES takes them. */
  gpuDevices: number[];
}

const GPU_QUERY_TIMEOUT_MS = 10_000;
const MIB = 1024 * 1024;
/** Two streams of an attempt at their kept size; on a disk smaller than 1.6 GiB a fiftieth of it. */
const DISK_LOW_BYTES = 32 * MIB;

/** Throws `setting_invalid` for a custom amount that is no number. `root` stands for `/` in tests. */
export async function findResources(outputDir: string, stated: StatedResources, root = ""): Promise<MachineResources> {
  const [cpus, memoryBytes, gpus, disk] = await Promise.all([
    stated.cpus ?? foundCpus(root),
    stated.memoryBytes ?? foundMemory(root),
    stated.gpus === 0 ? [] : foundGpus(root),
    stated.diskBytes ?? freeBytes(outputDir),
  ]);
  const gpuCount = stated.gpus ?? gpus.length;
  const vramBytes = stated.vramBytes ?? (gpus.length === 0 ? 0 : Math.min(...gpus.map((gpu) => gpu.vramBytes)));
  return {
    capacity: {
      cpus,
      memoryBytes,
      gpus: gpuCount,
      vramBytes: gpuCount === 0 ? 0 : vramBytes,
      diskBytes: disk,
      custom: Object.fromEntries(pairs(stated.custom).map(([name, text]) => [name, customAmount(name, text)])),
      labels: Object.fromEntries(pairs(stated.labels)),
    },
    gpuDevices: Array.from({ length: Math.ceil(gpuCount) }, (_, i) => gpus[i]?.device ?? i),
  };
}

/** Bytes that this user may still write below a directory. */
export async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/** True when so little is left that a task could not even keep its output. */
export async function isDiskLow(directory: string): Promise<boolean> {
  const { bavail, bsize, blocks } = await statfs(directory);
  return bavail * bsize < Math.min(DISK_LOW_BYTES, (blocks * bsize) / 50);
}

async function foundCpus(root: string): Promise<number> {
  const status = (await textOf(`${root}/proc/self/status`)) ?? "";
  const allowed = countList(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? "0");
  let quota = Number.POSITIVE_INFINITY;
  for (const directory of await cgroupDirectories(root, "cpu")) {
    const [limit, period] = ((await textOf(`${directory}/cpu.max`)) ?? "max 100000").split(" ");
    if (limit !== "max") quota = Math.min(quota, Number(limit) / Number(period));
    const quotaV1 = Number(await textOf(`${directory}/cpu.cfs_quota_us`));
    const periodV1 = Number(await textOf(`${directory}/cpu.cfs_period_us`));
    if (quotaV1 > 0 && periodV1 > 0) quota = Math.min(quota, quotaV1 / periodV1);
  }
  return Math.max(0.1, Math.min(allowed, quota));
}

async function foundMemory(root: string): Promise<number> {
  const info = (await textOf(`${root}/proc/meminfo`)) ?? "";
  let bytes = Number(/^MemTotal:\s*(\d+) kB$/m.exec(info)?.[1]) * 1024 || totalmem();
  for (const directory of await cgroupDirectories(root, "memory")) {
    for (const file of ["memory.max", "memory.limit_in_bytes"]) {
      // "max" is no number; v1 says 2^63 rounded down for no limit, which the minimum takes care of.
      const limit = Number(await textOf(`${directory}/${file}`));
      if (limit > 0) bytes = Math.min(bytes, limit);
    }
  }
  return bytes;
}

/** Directories of our cgroup and all above it: each of them may limit us. Version 2 and, per controller, version 1. */
async function cgroupDirectories(root: string, controller: string): Promise<string[]> {
  const directories: string[] = [];
  for (const line of ((await textOf(`${root}/proc/self/cgroup`)) ?? "").split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || controllers === undefined) continue;
    const unified = controllers === "";
    if (!unified && !controllers.split(",").includes(controller)) continue;
    const mount = unified ? `${root}/sys/fs/cgroup` : `${root}/sys/fs/cgroup/${controller}`;
    const parts = path.split("/").filter((part) => part !== "");
    for (let depth = parts.length; depth >= 0; depth--) directories.push([mount, ...parts.slice(0, depth)].join("/"));
  }
  return directories;
}

/** `0-3,8` is 5. */
function countList(list: string): number {
  let count = 0;
  for (const range of list.split(",")) {
    const [from, to] = range.split("-").map(Number);
    count += (to ?? from ?? 0) - (from ?? 0) + 1;
  }
  return count;
}

async function foundGpus(root: string): Promise<{ device: number; vramBytes: number }[]> {
  // The driver's own directory is there on every machine with a card; without it no program needs to be started.
  const cards = await readdir(`${root}/proc/driver/nvidia/gpus`).catch(() => []);
  if (cards.length === 0) return [];
  try {
    const query = ["--query-gpu=index,memory.total", "--format=csv,noheader,nounits"];
    const { stdout } = await promisify(execFile)("nvidia-smi", query, { timeout: GPU_QUERY_TIMEOUT_MS });
    const lines = stdout.trim().split("\n");
    return lines.map((line) => {
      const [device = 0, memoryMib = 0] = line.split(",").map(Number);
      return { device, vramBytes: memoryMib * MIB };
    });
  } catch {
    return cards.map((_, device) => ({ device, vramBytes: 0 }));
  }
}

function pairs(list: readonly string[]): [string, string][] {
  return list.map((item) => {
    const at = item.indexOf("=");
    return [item.slice(0, at), item.slice(at + 1)];
  });
}

function customAmount(name: string, text: string): number {
  const amount = Number(text);
  if (text !== "" && amount >= 0 && Number.isFinite(amount)) return amount;
  throw new AiravataError("setting_invalid", `--custom ${name}=${text}: the amount must be a number from 0`);
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return undefined;
  }
}
