/**
 * Samples gpus where there are some: AMD's from the kernel's files, NVIDIA's by their own program, which is started apart
 * from the agent and seldom. Without a card nothing is started or read.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { GpuFigures } from "../../shared/model/usage.ts";
import { readNames, readText } from "./read.ts";

const MIB = 1024 * 1024;
/** Starting a program takes 1 ms of the loop, and the program itself up to a second of a processor. */
const NVIDIA_PERIOD_MS = 60_000;
const NVIDIA_TIMEOUT_MS = 10_000;
const NVIDIA_ARGUMENTS = ["--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"];
const GPUS_MAX = 1_024;

export class GpuSampler {
  readonly #root: string;
  /** Folders of AMD's cards. */
  readonly #amd: string[];
  readonly #hasNvidia: boolean;
  #nvidia: GpuFigures[] = [];
  #nvidiaMono = Number.NEGATIVE_INFINITY;

  /** `root` stands for `/` in tests. */
  constructor(root = "") {
    this.#root = root;
    const cards = readNames(`${root}/sys/class/drm`).filter((name) => /^card\d+$/.test(name));
    this.#amd = cards
      .map((card) => `${root}/sys/class/drm/${card}/device`)
      .filter((folder) => readText(`${folder}/gpu_busy_percent`) !== undefined);
    this.#hasNvidia = readNames(`${this.#root}/proc/driver/nvidia/gpus`).length > 0;
  }

  /** NVIDIA's as they were up to a minute ago, then AMD's; undefined when there are none. */
  sample(nowMono: number): GpuFigures[] | undefined {
    if (this.#hasNvidia && nowMono - this.#nvidiaMono >= NVIDIA_PERIOD_MS) {
      this.#nvidiaMono = nowMono;
      void this.#askNvidia();
    }
    const all = [...this.#nvidia, ...this.#amd.map(amdFigures)];
    return all.length === 0 ? undefined : all.slice(0, GPUS_MAX);
  }

  async #askNvidia(): Promise<void> {
    try {
      const { stdout } = await promisify(execFile)("nvidia-smi", NVIDIA_ARGUMENTS, { timeout: NVIDIA_TIMEOUT_MS });
      this.#nvidia = parseNvidia(stdout);
    } catch {
      // A driver that is being exchanged: the next time.
      this.#nvidia = [];
    }
  }
}

/** A line per card: percent, MiB used, MiB in all; what the card does not tell is a word in brackets. Exported for tests. */
export function parseNvidia(text: string): GpuFigures[] {
  return text.split("\n").flatMap((line): GpuFigures[] => {
    const columns = line.split(",").map((column) => column.trim());
    if (columns.length !== 3) return [];
    const [busy, used, total] = columns.map(Number) as GpuFigures;
    return [[share(busy), bytes(used), bytes(total)]];
  });
}

function amdFigures(folder: string): GpuFigures {
  const read = (name: string): number => {
    const text = readText(`${folder}/${name}`) ?? "";
    return /^\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  };
  const used = read("mem_info_vram_used");
  const total = read("mem_info_vram_total");
  return [share(read("gpu_busy_percent")), Number.isNaN(used) ? -1 : used, Number.isNaN(total) ? -1 : total];
}

function share(percent: number): number {
  return percent >= 0 && percent <= 100 ? percent / 100 : -1;
}

function bytes(mib: number): number {
  return mib >= 0 && mib < Number.MAX_SAFE_INTEGER / MIB ? Math.round(mib * MIB) : -1;
}
