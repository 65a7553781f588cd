/**
 * A network namespace with one link to this one: a process in it is on another machine as far as the network goes. What is
 * sent over a broken direction is lost without a word, as behind a dead switch; TCP goes on when it is mended in time.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { FaultProcess } from "./fault-process.ts";

/** Nobody has it: frames to it are dropped by whoever gets them. */
const NOWHERE = "02:00:00:00:00:01";
/** Names of devices have at most 15 characters. */
const NAME = `av${process.pid}`;

/** What is lost: what the process in it says, what is said to it, or both. */
export type Lost = "out" | "in" | "both";

export class FaultNamespace {
  /** This side's address; a coordinator that binds to it is reached from inside. */
  readonly address: string;
  readonly #inside: string;

  private constructor() {
    // A /30 of its own in 10.213.0.0/16 for each test process.
    const block = (process.pid % 16_384) * 4;
    const at = (last: number): string => `10.213.${(block + last) >> 8}.${(block + last) & 255}`;
    this.address = at(1);
    this.#inside = at(2);
  }

  /** Needs root. */
  static make(): FaultNamespace {
    sweep();
    const namespace = new FaultNamespace();
    ip("netns", "add", NAME);
    ip("link", "add", `${NAME}h`, "type", "veth", "peer", "name", `${NAME}n`, "netns", NAME);
    ip("addr", "add", `${namespace.address}/30`, "dev", `${NAME}h`);
    ip("link", "set", `${NAME}h`, "up");
    ip("-n", NAME, "addr", "add", `${namespace.#inside}/30`, "dev", `${NAME}n`);
    ip("-n", NAME, "link", "set", `${NAME}n`, "up");
    ip("-n", NAME, "link", "set", "lo", "up");
    return namespace;
  }

  /** Its next start is inside; its pid is the program's own. */
  moveIn({ command }: FaultProcess): void {
    command.words.unshift("netns", "exec", NAME, command.program);
    command.program = "ip";
  }

  lose(lost: Lost): void {
    if (lost !== "in")
      ip("-n", NAME, "neigh", "replace", this.address, "lladdr", NOWHERE, "dev", `${NAME}n`, "nud", "permanent");
    if (lost !== "out") ip("neigh", "replace", this.#inside, "lladdr", NOWHERE, "dev", `${NAME}h`, "nud", "permanent");
  }

  mend(): void {
    for (const [where, to, device] of [
      [["-n", NAME], this.address, "n"],
      [[], this.#inside, "h"],
    ] as const) {
      ipQuietly(...where, "neigh", "del", to, "dev", `${NAME}${device}`);
    }
  }

  remove(): void {
    ipQuietly("link", "del", `${NAME}h`);
    ipQuietly("netns", "del", NAME);
  }
}

/** Removes what tests left that were killed. */
function sweep(): void {
  for (const name of ip("netns", "list").split(/[\s()]+/)) {
    const owner = /^av(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) ipQuietly("netns", "del", name);
  }
}

function ip(...words: string[]): string {
  return execFileSync("ip", words, { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8" });
}

function ipQuietly(...words: string[]): void {
  try {
    ip(...words);
  } catch {
    // It is so already.
  }
}
