/** Asks a process of ours about its memory after a full collection, through Node's inspector. */
import { readFileSync, writeFileSync } from "node:fs";
import WebSocket from "ws";

export interface Memory {
  /** Resident set by the kernel. */
  residentBytes: number;
  /** Objects that live after a collection. */
  heapBytes: number;
  /** Buffers and other memory of Node's own beside the heap. */
  externalBytes: number;
}

interface Answer {
  result?: { value?: unknown };
  profile?: unknown;
}

/** `address` is what the process said on its error output when it was started with `--inspect=127.0.0.1:0`. */
export class Inspector {
  private readonly socket: WebSocket;
  private readonly pid: number;
  private readonly waiting = new Map<number, PromiseWithResolvers<Answer>>();
  private last = 0;

  private constructor(socket: WebSocket, pid: number) {
    this.socket = socket;
    this.pid = pid;
    socket.on("message", (data) => {
      const { id, result } = JSON.parse(String(data));
      this.waiting.get(id)?.resolve(result);
      this.waiting.delete(id);
    });
    socket.on("close", () => {
      for (const { reject } of this.waiting.values()) reject(new Error("the process closed its inspector"));
    });
  }

  static async open(errors: string, pid: number): Promise<Inspector> {
    const address = /Debugger listening on (ws:\S+)/.exec(errors)?.[1];
    if (address === undefined) throw new Error("the process has no inspector");
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return new Inspector(socket, pid);
  }

  async memory(): Promise<Memory> {
    // Twice: the first one runs finalizers whose garbage the second one takes.
    await this.ask("HeapProfiler.collectGarbage");
    await this.ask("HeapProfiler.collectGarbage");
    const expression = "JSON.stringify(process.memoryUsage())";
    const answer = await this.ask("Runtime.evaluate", { expression, returnByValue: true });
    const { heapUsed, external } = JSON.parse(String(answer.result?.value));
    const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
    return { residentBytes: Number(match?.[1]) * 1024, heapBytes: heapUsed, externalBytes: external };
  }

  /** Profiles it from now on; the function that comes back ends that and writes the file. */
  async profile(path: string): Promise<() => Promise<void>> {
    await this.ask("Profiler.enable");
    await this.ask("Profiler.start");
    return async () => {
      const { profile } = await this.ask("Profiler.stop");
      writeFileSync(path, JSON.stringify(profile));
    };
  }

  close(): void {
    this.socket.terminate();
  }

  private ask(method: string, params: object = {}): Promise<Answer> {
    const id = ++this.last;
    const answer = Promise.withResolvers<Answer>();
    this.waiting.set(id, answer);
    this.socket.send(JSON.stringify({ id, method, params }));
    return answer.promise;
  }
}
