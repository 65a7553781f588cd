/**
 * A process whose wall clock a test sets, by libfaketime: the time of day jumps, the monotonic clock does not, as when an
 * operator or a time server sets it.
 */
import { globSync, writeFileSync } from "node:fs";
import type { FaultProcess } from "./fault-process.ts";

/** libfaketime reads its file anew this often. */
const CACHE_SECONDS = 1;

/** The library for programs with threads; undefined where the package is not installed. */
export function fakeTimeLibrary(): string | undefined {
  return globSync("/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1")[0];
}

export class FaultClock {
  readonly #file: string;

  /** Takes effect at the next start of `process`; `file` is where its offset will stand. */
  constructor(process: FaultProcess, file: string) {
    this.#file = file;
    this.set(0);
    Object.assign(process.command.env, {
      LD_PRELOAD: fakeTimeLibrary(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: String(CACHE_SECONDS),
      DONT_FAKE_MONOTONIC: "1",
    });
  }

  /** From about a second on its clock is ahead of the machine's by so much; behind when negative. */
  set(offsetSeconds: number): void {
    writeFileSync(this.#file, `${offsetSeconds < 0 ? "-" : "+"}${Math.abs(offsetSeconds)}`);
  }
}
