/**
 * The files of updates in an agent's state directory: programs by their checksum, which one was chosen over the operator's
 * own, how the last update went, and the keeper's plan. Each is replaced whole; what cannot be read counts as not there.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { UpdatePhase } from "../../shared/model/update.ts";

/** A program file as it was seen: another one in its place differs. */
export interface ProgramFile {
  path: string;
  size_bytes: number;
  mtime_ms: number;
}

/** The program that runs instead of `base`, which the operator put there. */
export interface Chosen {
  version: string;
  program: ProgramFile;
  base: ProgramFile;
}

/** The last update, for whoever starts next and for the coordinator. */
export interface LastUpdate {
  /** Of which rollout it was. */
  rollout: number;
  version: string;
  program: ProgramFile;
  former: { version: string; path: string };
  base: ProgramFile;
  /** What was chosen when the update began; null: the operator's own program. */
  chosen: Chosen | null;
  /** HANDING_OVER while the new program is on trial. */
  phase: UpdatePhase;
  message: string;
}

export class Releases {
  readonly directory: string;

  constructor(stateDir: string) {
    this.directory = join(stateDir, "releases");
  }

  get planPath(): string {
    return join(this.directory, "plan");
  }

  /** Where the program with this checksum lies once it was checked. */
  programPath(sha256: string): string {
    return join(this.directory, `airavata-${sha256.slice(0, 16)}`);
  }

  chosen(): Chosen | undefined {
    return this.#read<Chosen>("chosen.json");
  }

  choose(chosen: Chosen | null): void {
    if (chosen === null) rmSync(join(this.directory, "chosen.json"), { force: true });
    else this.replace("chosen.json", JSON.stringify(chosen));
  }

  last(): LastUpdate | undefined {
    return this.#read<LastUpdate>("last.json");
  }

  saveLast(last: LastUpdate): void {
    this.replace("last.json", JSON.stringify(last));
  }

  /** Removes programs that are none of these, and what was left half fetched. */
  keepOnly(paths: readonly string[]): void {
    for (const name of readdirSync(this.directory)) {
      const path = join(this.directory, name);
      if (name.startsWith("airavata-") && !paths.includes(path)) rmSync(path, { force: true });
    }
  }

  /** Whole or not at all, also after a power cut. */
  replace(name: string, text: string): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const path = join(this.directory, name);
    const file = openSync(`${path}.new`, "w", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.new`, path);
  }

  #read<T>(name: string): T | undefined {
    try {
      return JSON.parse(readFileSync(join(this.directory, name), "utf8")) as T;
    } catch {
      return undefined;
    }
  }
}

/** What a path holds now; undefined when there is no such file. */
export function programFile(path: string): ProgramFile | undefined {
  try {
    const real = realpathSync(path);
    const { size, mtimeMs } = statSync(real);
    return { path: real, size_bytes: size, mtime_ms: mtimeMs };
  } catch {
    return undefined;
  }
}

export function isSameFile(a: ProgramFile | undefined, b: ProgramFile | undefined): boolean {
  return a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b);
}
