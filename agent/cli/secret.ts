/**
 * How a secret comes in: from a file, from standard input, or typed unseen. Never as an argument, which every process on
 * the machine could read.
 */
import { readFile } from "node:fs/promises";
import { AiravataError } from "../../shared/error/error.ts";
import type { Screen } from "./terminal.ts";

export interface SecretSource {
  /** `-`: standard input. Undefined: standard input when it is no terminal, else a prompt. */
  fromFile: string | undefined;
  /** Names what is asked for: `the password`. */
  what: string;
  /** Asked twice at a prompt, because nobody sees what he types. */
  twice: boolean;
  /** One line end after the last line is no part of it: editors and `echo` put it there. */
  trim: boolean;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const ENTER = new Set([LINE_FEED, CARRIAGE_RETURN]);
const INTERRUPT = 3;
const END_OF_FILE = 4;
const BACKSPACE = new Set([8, 127]);

/** The caller wipes it. Throws `usage_invalid` for a file that cannot be read and for two inputs that differ. */
export async function readSecret(source: SecretSource, err: Screen): Promise<Buffer> {
  const { fromFile, twice, trim, what } = source;
  if (fromFile === undefined && process.stdin.isTTY) {
    const first = await prompt(`Type ${what} (it is not shown): `, err);
    if (!twice) return first;
    const second = await prompt(`Again: `, err);
    const same = first.equals(second);
    second.fill(0);
    if (same) return first;
    first.fill(0);
    throw new AiravataError("usage_invalid", "The two differ: nothing was changed, try again.");
  }
  const bytes = fromFile === undefined || fromFile === "-" ? await readInput() : await readFrom(fromFile);
  return trim ? withoutLineEnd(bytes) : bytes;
}

async function readFrom(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new AiravataError("usage_invalid", `${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  return whole;
}

/** The same memory, so that wiping it wipes all but the line end. */
function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== LINE_FEED) return bytes;
  return bytes.subarray(0, bytes.length - (bytes.at(-2) === CARRIAGE_RETURN ? 2 : 1));
}

/** Reads a line from the terminal without showing it. */
async function prompt(question: string, err: Screen): Promise<Buffer> {
  err.write(question);
  const typed: number[] = [];
  const { stdin } = process;
  stdin.setRawMode(true);
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const byte of chunk as Buffer) {
        if (ENTER.has(byte) || (byte === END_OF_FILE && typed.length > 0)) return Buffer.from(typed);
        if (byte === INTERRUPT || byte === END_OF_FILE)
          throw new AiravataError("usage_invalid", "Nothing was changed.");
        if (BACKSPACE.has(byte)) eraseLetter(typed);
        else typed.push(byte);
      }
      (chunk as Buffer).fill(0);
    }
    return Buffer.from(typed);
  } finally {
    typed.fill(0);
    stdin.setRawMode(false);
    stdin.pause();
    err.write("\n");
  }
}

/** A letter is several bytes of UTF-8 beyond ASCII. */
function eraseLetter(typed: number[]): void {
  while (((typed.at(-1) ?? 0) & 0xc0) === 0x80) typed.pop();
  typed.pop();
}
