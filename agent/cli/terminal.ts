/**
 * What the client may assume about the terminal: width, colour, and how wide a text is on it. Text that came from tasks,
 * files or the server goes through `printable` before a person sees it, so that no byte of it drives the terminal.
 */

/** A stream that people read: where it goes, how wide it is, whether colour may be used. */
export interface Screen {
  write(text: string): void;
  /** Columns to fit into; 0: a file or pipe, nothing is cut. */
  columns: number;
  isTerminal: boolean;
  paint: Paint;
}

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
export type Paint = (style: Style, text: string) => string;

const CODES: Record<Style, [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** No colour at all. Exported for tests. */
export const plain: Paint = (_style, text) => text;
const coloured: Paint = (style, text) =>
  text === "" ? "" : `\u001b[${CODES[style][0]}m${text}\u001b[${CODES[style][1]}m`;

/** Colour only where a person looks, never with NO_COLOR (any value but the empty one), never on a dumb terminal. Exported for tests. */
export function mayColour(isTerminal: boolean, environment: NodeJS.ProcessEnv): boolean {
  return isTerminal && !environment.NO_COLOR && environment.TERM !== "dumb";
}

/** Wraps one of the process's streams. `columns` is read anew each time, so a resized window is followed. */
export function screen(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): Screen {
  const isTerminal = stream.isTTY === true;
  return {
    write: (text) => void stream.write(text),
    get columns() {
      return isTerminal ? stream.columns || 80 : 0;
    },
    isTerminal,
    paint: mayColour(isTerminal, environment) ? coloured : plain,
  };
}

/** True when the locale says that the terminal understands more than ASCII. */
export function speaksUnicode(environment: NodeJS.ProcessEnv): boolean {
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG || "";
  return /utf-?8/i.test(locale);
}

const ESCAPES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])/g;
// Control characters but tab and newline, C1, and the marks that reorder text.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The text without anything that moves a cursor or reorders letters; newlines stay, tabs become spaces, CR a line end. */
export function printable(text: string): string {
  return text
    .replace(ESCAPES, "")
    .replace(/\r+\n/g, "\n")
    .replace(/\r/g, "\n")
    .replace(CONTROLS, "")
    .replace(/\t/g, "    ");
}

/** The same on one line, for names and cells. */
export function printableLine(text: string): string {
  return printable(text).replace(/\n+/g, " ");
}

/** Columns that a printable text takes: two for East Asian wide letters and pictographs, none for combining marks. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const letter of text.replace(ESCAPES, "")) {
    const code = letter.codePointAt(0) ?? 0;
    if (code < 0x300) width += 1;
    else if (/\p{Mark}|\u200d|\ufe0f/u.test(letter)) width += 0;
    else width += isWide(code) ? 2 : 1;
  }
  return width;
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  );
}

/** Cuts a text without escapes to `width` columns, the last one being an ellipsis when something was cut. */
export function fitWidth(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let cut = "";
  let used = 0;
  for (const letter of text) {
    const wide = displayWidth(letter);
    if (used + wide > width - 1) break;
    cut += letter;
    used += wide;
  }
  return width < 1 ? "" : `${cut}…`;
}

/** `printable` for a text that comes in pieces: an escape sequence or line end that is cut in two is still recognised. */
export class PrintableStream {
  private held = "";

  push(text: string): string {
    const all = this.held + text;
    // What may go on in the next piece: an unfinished escape sequence (bounded, else it is none), or a CR.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
    const open = /(?:\r|\u001b(?:\[[0-?]{0,60}[ -/]{0,4}|\][^\u0007\u001b]{0,200}|[PX^_][^\u001b]{0,200})?)$/.exec(all);
    this.held = open ? open[0] : "";
    return printable(open ? all.slice(0, open.index) : all);
  }

  /** What was held back. */
  end(): string {
    const rest = printable(this.held);
    this.held = "";
    return rest;
  }
}
