/** The functions of a CPU profile with the most time of their own. Pure, but for reading the file. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { textTable } from "../report/table.ts";

export interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

export interface TopFunction {
  name: string;
  selfMs: number;
  /** Of the time in which the process did something. */
  share: number;
}

const FUNCTIONS = 15;

/** By self time, without the time in which it was idle. */
export function topFunctions(profile: Profile, most: number = FUNCTIONS): TopFunction[] {
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const self = new Map<string, number>();
  let busy = 0;
  profile.samples.forEach((id, i) => {
    const name = names.get(id) ?? "(unknown)";
    if (name === "(idle)") return;
    const ms = Math.max(0, profile.timeDeltas[i] ?? 0) / 1000;
    busy += ms;
    self.set(name, (self.get(name) ?? 0) + ms);
  });
  return [...self]
    .map(([name, selfMs]) => ({ name, selfMs, share: selfMs / busy }))
    .sort((a, b) => b.selfMs - a.selfMs)
    .slice(0, most);
}

/** `encodeFrames shared/protocol/codec.ts:45`; modules of Node and packages by their short path. */
function nameOf({ functionName, url, lineNumber }: Profile["nodes"][number]["callFrame"]): string {
  const path = url.replace(/^file:\/\//, "").replace(/^.*\/node_modules\//, "");
  const short = /(?:^|\/)((?:agent|coordinator|shared|db|test)\/.*)$/.exec(path)?.[1] ?? path;
  return short === "" ? functionName : `${functionName || "(anonymous)"} ${short}:${lineNumber + 1}`;
}

/** A table for each profile in a directory. */
export function profileTables(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(".cpuprofile"))
    .sort()
    .map((name) => {
      const profile = JSON.parse(readFileSync(join(directory, name), "utf8")) as Profile;
      const rows = topFunctions(profile).map((top) => [
        top.name,
        top.selfMs.toFixed(0),
        `${(top.share * 100).toFixed(1)} %`,
      ]);
      return textTable(`profile ${join(directory, name)}`, ["self time", "ms", "share"], rows);
    });
}
