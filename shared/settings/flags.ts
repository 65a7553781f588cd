/**
 * The command-line side of a settings table: taking its flags out of the arguments and printing its help.
 */
import { AiravataError } from "../error/error.ts";
import { nearestSlip } from "../spec/nearest.ts";
import { formatBytes, formatDuration } from "../time/duration.ts";
import { flagName, type Setting, type SettingsTable } from "./setting.ts";

/** As wide as the help of the other commands where no terminal says otherwise. */
const HELP_COLUMNS = 100;

/**
 * Flags by name without dashes, and the words that are none. `--name value`, `--name=value`, `--name` and `--no-name`
 * for a bool; a list's flag may be repeated; `--` ends the flags. Throws `setting_unknown` and `setting_invalid`.
 */
export function parseFlags(
  table: SettingsTable,
  args: readonly string[],
): { flags: Record<string, unknown>; words: string[] } {
  const known = new Map(Object.values(table).map((setting) => [flagName(setting), setting]));
  const flags: Record<string, unknown> = {};
  const words: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    if (arg === "--") {
      words.push(...args.slice(i + 1));
      break;
    }
    if (!arg.startsWith("--")) {
      words.push(arg);
      continue;
    }
    const [, name = "", inline] = /^--([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    const negated = name.startsWith("no-") ? known.get(name.slice(3)) : undefined;
    if (negated?.type === "bool" && inline === undefined) {
      flags[flagName(negated)] = false;
      continue;
    }
    const setting = known.get(name);
    if (setting === undefined) throw unknownFlag(name, known.keys());
    const value = inline ?? (setting.type === "bool" ? true : args[++i]);
    if (value === undefined) throw new AiravataError("setting_invalid", `${setting.flag} needs a value after it`);
    flags[name] = setting.type === "list" ? [...((flags[name] as string[] | undefined) ?? []), value] : value;
  }
  return { flags, words };
}

/** Help of a table, one entry per setting: flag, sentence, default, variable; wrapped at `HELP_COLUMNS`. */
export function settingsHelp(table: SettingsTable): string {
  const lines = Object.values(table).map((setting) => {
    const value = setting.secret ? "path" : setting.type;
    const left = setting.type === "bool" ? setting.flag : `${setting.flag} <${value}>`;
    const fallback = defaultText(setting);
    const notes = [fallback === "" ? "" : `default ${fallback}`, setting.variable];
    return wrapped(`  ${left.padEnd(34)} `, `${setting.doc} (${notes.filter(Boolean).join("; ")})`);
  });
  return lines.join("\n");
}

/** `text` beside `left`, its further lines below its first. */
function wrapped(left: string, text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line === "") lines[lines.length - 1] = word;
    else if (left.length + line.length + 1 + word.length <= HELP_COLUMNS) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return left + lines.join(`\n${" ".repeat(left.length)}`);
}

/** The default as a person would write it; empty when there is none. */
export function defaultText(setting: Setting): string {
  if (setting.default === undefined) return "";
  if (setting.type === "list") return setting.default.join(",");
  if (setting.type === "duration") return formatDuration(setting.default);
  if (setting.type === "bytes") return formatBytes(setting.default);
  return String(setting.default);
}

function unknownFlag(name: string, known: Iterable<string>): AiravataError {
  const near = nearestSlip(name, known);
  const hint = near === undefined ? "; see --help" : `; did you mean --${near}?`;
  return new AiravataError("setting_unknown", `--${name} is not an option here${hint}`);
}
