/**
 * The structured logger: a line per event, as JSON for programs or as text for people, with the chain of causes of an
 * error and without secrets. It writes where it is told to and keeps no state, so a test reads what it wrote.
 */
import { AiravataError, causeChain } from "../error/error.ts";
import { redactText, redactValue } from "./redact.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["auto", "json", "text"] as const;
export type LogFormat = "json" | "text";

/** Named values of a line; `error` may be anything that was thrown. */
export type LogFields = Record<string, unknown> & { error?: unknown };

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each line. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** Lines below it are not written. */
  level: LogLevel;
  format: LogFormat;
  /** Takes a whole line with its end; defaults to standard error. */
  write?: (line: string) => void;
  /** Values that must never be printed, e.g. the tokens of the settings. */
  secrets?: readonly string[];
  /** Wall-clock milliseconds. */
  wall?: () => number;
}

/** Everything that a terminal could take for a command; a line stays one line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** The text with control characters made visible, fit for a terminal. */
export function visible(text: string): string {
  return text.replace(CONTROL, (char) => {
    if (char === "\n") return "\\n";
    if (char === "\t") return "\\t";
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** A logger with these options. Writing never throws: a value that cannot be printed is named instead. */
export function createLogger(options: LoggerOptions): Logger {
  return loggerWith(options, {});
}

/** Writes nothing; for tests and for parts whose caller does not care. */
export const silentLogger: Logger = createLogger({ level: "silent", format: "text", write: () => {} });

function loggerWith(options: LoggerOptions, bound: LogFields): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const write = options.write ?? ((line: string) => void process.stderr.write(line));
  const render = options.format === "json" ? jsonLine : textLine;
  const secrets = options.secrets ?? [];
  const log = (level: LogLevel, message: string, fields: LogFields | undefined): void => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const { error, ...rest } = { ...bound, ...fields };
    const time = new Date(options.wall?.() ?? Date.now()).toISOString();
    const line: Line = { time, level, message: redactText(message, secrets), fields: printable(rest, secrets) };
    if (error !== undefined) line.error = printableError(error, secrets);
    write(`${render(line)}\n`);
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
    with: (fields) => loggerWith(options, { ...bound, ...fields }),
  };
}

interface Line {
  time: string;
  level: LogLevel;
  message: string;
  fields: Record<string, unknown>;
  error?: { chain: { name: string; message: string; code?: string }[]; data?: unknown; stack?: string };
}

function printable(fields: Record<string, unknown>, secrets: readonly string[]): Record<string, unknown> {
  try {
    return redactValue(fields, secrets) as Record<string, unknown>;
  } catch (problem) {
    return { unprintable: String(problem) };
  }
}

function printableError(error: unknown, secrets: readonly string[]): NonNullable<Line["error"]> {
  const chain = causeChain(error).map((link) => ({ ...link, message: redactText(link.message, secrets) }));
  if (error instanceof AiravataError) {
    return Object.keys(error.data).length === 0 ? { chain } : { chain, data: printable(error.data, secrets) };
  }
  // An error that is not ours was not foreseen: where it came from is worth its lines.
  const stack = error instanceof Error && error.stack ? redactText(error.stack, secrets) : undefined;
  return stack === undefined ? { chain } : { chain, stack };
}

function jsonLine(line: Line): string {
  const { time, level, message, fields, error } = line;
  // Our own names win over fields of the same name, and still stand first.
  const own = { time, level, message, ...(error && { error }) };
  return JSON.stringify({ ...own, ...fields, ...own });
}

function textLine(line: Line): string {
  const fields = Object.entries(line.fields).map(([name, value]) => {
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    return ` ${visible(name)}=${visible(/^[^\s"=]+$/.test(shown) ? shown : JSON.stringify(shown))}`;
  });
  const causes = (line.error?.chain ?? []).map(
    (link, i) =>
      `\n    ${i === 0 ? "error" : "caused by"}: ${visible(link.message)}${link.code ? ` [${visible(link.code)}]` : ""}`,
  );
  const stack = (line.error?.stack ?? "").split("\n").filter((frame) => frame.startsWith("    at "));
  const frames = stack.slice(0, 8).map((frame) => `\n    ${visible(frame.trim())}`);
  const head = `${line.time} ${line.level.toUpperCase().padEnd(5)} ${visible(line.message)}`;
  return head + fields.join("") + causes.join("") + frames.join("");
}
