/** Whether the kernel killed something for memory in our cgroup, which is all the evidence there is for a SIGKILL. */
import { readFile } from "node:fs/promises";

export class MemoryEvents {
  readonly #path: string | undefined;
  #seen: number;

  private constructor(path: string | undefined, seen: number) {
    this.#path = path;
    this.#seen = seen;
  }

  /** Finds the counter of version 2 (`memory.events`) or 1 (`memory.oom_control`); without one it never says yes. */
  static async open(): Promise<MemoryEvents> {
    const lines = (await readFile("/proc/self/cgroup", "utf8").catch(() => "")).split("\n");
    for (const line of lines) {
      const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
      const candidates =
        controllers === ""
          ? [`/sys/fs/cgroup${path}/memory.events`, "/sys/fs/cgroup/memory.events"]
          : controllers === "memory"
            ? [`/sys/fs/cgroup/memory${path}/memory.oom_control`, "/sys/fs/cgroup/memory/memory.oom_control"]
            : [];
      for (const candidate of candidates) {
        const count = await readCount(candidate);
        if (count !== undefined) return new MemoryEvents(candidate, count);
      }
    }
    return new MemoryEvents(undefined, 0);
  }

  /** True when the counter rose since it was last asked. */
  async killed(): Promise<boolean> {
    if (this.#path === undefined) return false;
    const count = (await readCount(this.#path)) ?? this.#seen;
    const rose = count > this.#seen;
    this.#seen = count;
    return rose;
  }
}

async function readCount(path: string): Promise<number | undefined> {
  try {
    const count = /^oom_kill (\d+)$/m.exec(await readFile(path, "utf8"))?.[1];
    return count === undefined ? undefined : Number(count);
  } catch {
    return undefined;
  }
}
