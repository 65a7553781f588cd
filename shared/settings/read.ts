/**
 * Reads a process's settings: flag, then environment, then file, then default. Every message names the setting by where
 * it was given, its value (unless secret) and the bound. Pure: the caller brings arguments, environment and file.
 */
import { AiravataError } from "../error/error.ts";
import { nearestSlip } from "../spec/nearest.ts";
import { formatBytes, formatDuration, parseBytes, parseDuration } from "../time/duration.ts";
import { fileKey, flagName, type Setting, type SettingsOf, type SettingsTable } from "./setting.ts";

export interface SettingsSources {
  /** By flag name without dashes, as `parseFlags` or another command-line parser gives them. */
  flags?: Record<string, unknown>;
  /** An empty variable counts as not set. */
  env?: Record<string, string | undefined>;
  /** The decoded configuration file, and its path for messages. */
  file?: { path: string; content: unknown };
  /** Reads the file that a secret's flag names; what it throws becomes the cause. */
  readFile?: (path: string) => string;
}

/** Where each value came from, for `doctor` and the first line of the log. */
export type SettingsOrigin<T extends SettingsTable> = { [K in keyof T]: "flag" | "environment" | "file" | "default" };

/**
 * The values of a table. Throws `setting_invalid` for a value that is no such type or out of bounds and
 * `setting_unknown` for a key of the file that the table does not have, with the nearest one.
 */
export function readSettings<T extends SettingsTable>(
  table: T,
  sources: SettingsSources,
): { values: SettingsOf<T>; origin: SettingsOrigin<T> } {
  const file = fileValues(table, sources.file);
  const values: Record<string, unknown> = {};
  const origin: Record<string, string> = {};
  for (const [key, setting] of Object.entries(table)) {
    const flag = sources.flags?.[flagName(setting)];
    const variable = sources.env?.[setting.variable];
    const inFile = file[fileKey(setting)];
    if (flag !== undefined && flag !== null) {
      const given = setting.secret ? secretFromFile(setting, flag, sources.readFile) : flag;
      values[key] = parseValue(setting, given, setting.flag);
      origin[key] = "flag";
    } else if (variable !== undefined && variable !== "") {
      values[key] = parseValue(setting, variable, setting.variable);
      origin[key] = "environment";
    } else if (inFile !== undefined && inFile !== null) {
      values[key] = parseValue(setting, inFile, `${fileKey(setting)} in ${sources.file?.path}`);
      origin[key] = "file";
    } else {
      values[key] = Array.isArray(setting.default) ? [...setting.default] : setting.default;
      origin[key] = "default";
    }
  }
  return { values: values as SettingsOf<T>, origin: origin as SettingsOrigin<T> };
}

/** The values that must never be printed, and the passwords inside of URLs: hand them to the logger. */
export function secretValues<T extends SettingsTable>(table: T, values: SettingsOf<T>): string[] {
  const secrets: string[] = [];
  for (const [key, setting] of Object.entries(table)) {
    const value = values[key];
    if (!setting.secret || typeof value !== "string") continue;
    secrets.push(value);
    const password = URL.parse(value)?.password;
    if (password) secrets.push(password, decodeURIComponent(password));
  }
  return secrets;
}

function secretFromFile(setting: Setting, path: unknown, readFile: SettingsSources["readFile"]): string {
  if (!setting.flag.endsWith("-file")) {
    const sentence = `${setting.flag} is a secret and process lists show arguments: set ${setting.variable} instead`;
    throw new AiravataError("setting_invalid", sentence);
  }
  try {
    if (readFile === undefined) throw new Error("no file may be read here");
    return readFile(String(path)).trim();
  } catch (cause) {
    throw new AiravataError("setting_invalid", `${setting.flag} names ${path}, which cannot be read`, { cause });
  }
}

function fileValues(table: SettingsTable, file: SettingsSources["file"]): Record<string, unknown> {
  if (file === undefined || file.content === undefined || file.content === null) return {};
  if (typeof file.content !== "object" || Array.isArray(file.content)) {
    throw new AiravataError("setting_invalid", `${file.path} must be a mapping of settings, like "log_level: debug"`);
  }
  const known = Object.values(table).map(fileKey);
  for (const key of Object.keys(file.content)) {
    if (known.includes(key)) continue;
    const near = nearestSlip(key, known);
    const hint = near === undefined ? "; docs/settings.md lists them" : `; did you mean "${near}"?`;
    throw new AiravataError("setting_unknown", `${file.path} has "${key}", which is not a setting${hint}`);
  }
  return { ...file.content };
}

/** One value in the setting's own type. `where` is how a person gave it: `--port`, `SERVER_PORT`, `port in FILE`. */
function parseValue(setting: Setting, given: unknown, where: string): unknown {
  const refuse = (must: string): AiravataError => {
    const shown = setting.secret ? "a value" : JSON.stringify(given);
    return new AiravataError("setting_invalid", `${where} is ${shown} but must be ${must}`, {
      data: { setting: setting.flag },
    });
  };
  const bounded = (value: number | undefined, must: string, format: (value: number) => string): number => {
    if (value === undefined || !Number.isFinite(value)) throw refuse(must);
    const { min, max } = setting as { min?: number; max?: number };
    if (min !== undefined && value < min) throw refuse(`at least ${format(min)}`);
    if (max !== undefined && value > max) throw refuse(`at most ${format(max)}`);
    return value;
  };
  const text = typeof given === "number" ? String(given) : given;
  switch (setting.type) {
    case "string": {
      if (typeof text !== "string") throw refuse("text");
      if (setting.choices && !setting.choices.includes(text)) throw refuse(`one of ${setting.choices.join(", ")}`);
      return text;
    }
    case "bool": {
      if (typeof given === "boolean") return given;
      if (text === "true" || text === "1" || text === "yes") return true;
      if (text === "false" || text === "0" || text === "no") return false;
      throw refuse("true or false");
    }
    case "int":
      return bounded(numberOf(text, /^-?\d{1,15}$/), `a whole number (${setting.unit})`, String);
    case "number":
      return bounded(numberOf(text, /^-?\d{1,15}(\.\d{1,9})?$/), `a number (${setting.unit})`, String);
    case "duration":
      return bounded(textual(text, parseDuration), "a duration like 30s, 5m or 1h", formatDuration);
    case "bytes":
      return bounded(textual(text, parseBytes), "a size like 64MiB or 2GiB", formatBytes);
    case "list": {
      const items = listOf(given);
      if (items === undefined) throw refuse("a list of texts");
      if (setting.pairs) {
        const broken = items.find((item) => !/^[^=]+=/.test(item));
        if (broken !== undefined)
          throw refuse(`a list of name=value (${JSON.stringify(broken)} has no name or no "=")`);
      }
      return items;
    }
    default:
      return setting satisfies never;
  }
}

function numberOf(text: unknown, form: RegExp): number | undefined {
  return typeof text === "string" && form.test(text) ? Number(text) : undefined;
}

function textual(text: unknown, parse: (text: string) => number | undefined): number | undefined {
  return typeof text === "string" ? parse(text.trim()) : undefined;
}

/** Commas separate, in each of the texts; empty items are dropped. */
function listOf(given: unknown): string[] | undefined {
  const texts = Array.isArray(given) ? given : [given];
  if (!texts.every((text) => typeof text === "string" || typeof text === "number")) return undefined;
  return texts
    .flatMap((text) => String(text).split(","))
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
