/** Where `--profile` writes, handed on to whoever starts a process through the environment. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";

const VARIABLE = "AIRAVATA_BENCH_PROFILE";

/** Profiles of what is started from now on go to this directory; null: none are taken. */
export function profileInto(directory: string | null): void {
  if (directory === null) delete process.env[VARIABLE];
  else {
    mkdirSync(directory, { recursive: true });
    process.env[VARIABLE] = directory;
  }
}

/** Where a profile that a benchmark takes itself goes; undefined: none is wanted. */
export function profilePath(name: string): string | undefined {
  const directory = process.env[VARIABLE];
  return directory === undefined ? undefined : join(directory, `${name}.cpuprofile`);
}

let serial = 0;

/** Options of Node for a process in that role: a CPU profile of its whole life, written when it ends in order. */
export function profileOptions(role: string): string[] {
  const directory = process.env[VARIABLE];
  if (directory === undefined) return [];
  const name = `${role}-${process.pid}-${++serial}.cpuprofile`;
  return ["--cpu-prof", `--cpu-prof-dir=${directory}`, `--cpu-prof-name=${name}`];
}
