/**
 * Reads the kernel's text files. Synchronously: what stands in /proc and /sys is made at the moment it is read and waits for
 * no disk, and a read through the thread pool would cost ten times as much as the file itself.
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs";

/** The longest that is looked at; the processors' lines of /proc/stat come first in it. */
const buffer = Buffer.allocUnsafe(64 * 1024);
/** A read that brought less has brought all: lines are shorter than that, and a page is filled as far as lines fit. */
const LAST_READ_BYTES = 2_048;

/** Its bytes as text, one character each; undefined when it is not there (any more) or is not ours to read. */
export function readText(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    let size = 0;
    for (let last = LAST_READ_BYTES; last >= LAST_READ_BYTES && size < buffer.length; size += last) {
      last = readSync(file, buffer, size, buffer.length - size, null);
    }
    return buffer.toString("latin1", 0, size);
  } catch {
    // The process ended between opening and reading.
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** Names in a folder of /proc or /sys; none when it is not there. */
export function readNames(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
