/**
 * Samples the node: processors, load, memory, swap, the disk under the output directory, network. A dozen small files of
 * the kernel, no process started; what this machine does not tell is −1.
 */
import { stat, statfs } from "node:fs/promises";
import { NODE_FIGURE_AT, NODE_FIGURES, type NodeFigure } from "../../shared/model/usage.ts";
import {
  parseBlock,
  parseCgroupMemory,
  parseCgroupPath,
  parseCpu,
  parseLoad,
  parseMeminfo,
  parseNetwork,
} from "./proc.ts";
import { readText } from "./read.ts";

const UNKNOWN = -1;

export class NodeSampler {
  readonly #outputDir: string;
  readonly #root: string;
  /** Counters of the disk under the output directory; undefined when it is no block device (network, memory). */
  readonly #device: string | undefined;
  readonly #cgroup: string | undefined;
  #ticks = { busy: 0, all: 0 };
  /** Free and used bytes as last told: the file system may take its time, or never answer. */
  #disk = { usedBytes: UNKNOWN, freeBytes: UNKNOWN };
  #askingDisk = false;

  private constructor(outputDir: string, root: string, device: string | undefined, cgroup: string | undefined) {
    this.#outputDir = outputDir;
    this.#root = root;
    this.#device = device;
    this.#cgroup = cgroup;
  }

  /** `root` stands for `/` in tests. */
  static async open(outputDir: string, root = ""): Promise<NodeSampler> {
    const { dev } = await stat(outputDir);
    // Linux packs both numbers into one: 12 bits of the major one above 8 of the minor one, the rest of that on top.
    const major = (dev >> 8) & 0xfff;
    const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
    const device = `${root}/sys/dev/block/${major}:${minor}/stat`;
    const cgroup = parseCgroupPath(readText(`${root}/proc/self/cgroup`) ?? "");
    const sampler = new NodeSampler(
      outputDir,
      root,
      readText(device) === undefined ? undefined : device,
      cgroup === undefined ? undefined : `${root}/sys/fs/cgroup${cgroup}`,
    );
    await sampler.#askDisk();
    sampler.sample();
    return sampler;
  }

  /** In the order of `NODE_FIGURES`; what others know is still −1. */
  sample(): number[] {
    const figures = new Array<number>(NODE_FIGURES.length).fill(UNKNOWN);
    const set = (name: NodeFigure, value: number | undefined): void => {
      if (value !== undefined) figures[NODE_FIGURE_AT[name]] = value;
    };
    this.#cpu(set);
    set("load1", parseLoad(this.#text("/proc/loadavg")));
    this.#memory(set);
    void this.#askDisk();
    set("disk_used_bytes", this.#disk.usedBytes);
    set("disk_free_bytes", this.#disk.freeBytes);
    const block = this.#device === undefined ? undefined : parseBlock(readText(this.#device) ?? "");
    set("disk_read_bytes_total", block?.readBytes);
    set("disk_written_bytes_total", block?.writtenBytes);
    const network = parseNetwork(this.#text("/proc/net/dev"));
    set("network_received_bytes_total", network.receivedBytes);
    set("network_sent_bytes_total", network.sentBytes);
    return figures;
  }

  #cpu(set: (name: NodeFigure, value: number | undefined) => void): void {
    const cpu = parseCpu(this.#text("/proc/stat"));
    if (cpu === undefined) return;
    const all = cpu.allTicks - this.#ticks.all;
    const busy = cpu.busyTicks - this.#ticks.busy;
    this.#ticks = { busy: cpu.busyTicks, all: cpu.allTicks };
    set("cpu", all > 0 ? Math.min(1, Math.max(0, busy / all)) : undefined);
    set("cpus", cpu.cpus > 0 ? cpu.cpus : undefined);
  }

  #memory(set: (name: NodeFigure, value: number | undefined) => void): void {
    const machine = parseMeminfo(this.#text("/proc/meminfo"));
    const group = this.#cgroup === undefined ? undefined : this.#cgroupMemory(this.#cgroup);
    const limited = group !== undefined && !(machine && machine.limitBytes <= group.limitBytes);
    const { usedBytes, limitBytes } = (limited ? group : machine) ?? {};
    set("memory_used_bytes", usedBytes);
    set("memory_limit_bytes", limitBytes);
    set("swap_used_bytes", machine?.swapUsedBytes);
    set("swap_limit_bytes", machine?.swapLimitBytes);
  }

  #cgroupMemory(folder: string): { usedBytes: number; limitBytes: number } | undefined {
    const max = readText(`${folder}/memory.max`) ?? "";
    // Most have none, and then nothing else needs to be read.
    if (!/^\d/.test(max)) return undefined;
    return parseCgroupMemory(readText(`${folder}/memory.current`) ?? "", max, readText(`${folder}/memory.stat`) ?? "");
  }

  async #askDisk(): Promise<void> {
    if (this.#askingDisk) return;
    this.#askingDisk = true;
    try {
      const { bsize, blocks, bfree, bavail } = await statfs(this.#outputDir);
      this.#disk = { usedBytes: (blocks - bfree) * bsize, freeBytes: bavail * bsize };
    } catch {
      this.#disk = { usedBytes: UNKNOWN, freeBytes: UNKNOWN };
    } finally {
      this.#askingDisk = false;
    }
  }

  #text(path: string): string {
    return readText(this.#root + path) ?? "";
  }
}
