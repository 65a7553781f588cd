/**
 * What a setting is: one entry of the one table that each process has. The table is a literal, so that every default
 * stands once, with its unit and reason, and the values a process reads are typed by it.
 * Each entry has a flag, a variable and a line in docs/settings.md; a test holds them together.
 */
interface SettingBase {
  /** With its dashes: `--session-ttl`. The key in a configuration file has underscores: `session_ttl`. */
  flag: `--${string}`;
  /** Environment variable. */
  variable: string;
  /** One sentence for `--help` and the docs. */
  doc: string;
  /**
   * True: its value is never printed. Process lists show arguments, so a flag that ends in `-file` names a file with the
   * value, and any other flag is refused with the name of its variable.
   */
  secret?: boolean;
}

interface Bounded {
  min?: number;
  max?: number;
}

/** Values are text; `choices` names the allowed ones. */
interface StringSetting extends SettingBase {
  type: "string";
  default: string | undefined;
  choices?: readonly string[];
}
interface BoolSetting extends SettingBase {
  type: "bool";
  default: boolean;
}
interface IntSetting extends SettingBase, Bounded {
  type: "int";
  default: number | undefined;
  /** What is counted. */
  unit: string;
}
/** Fractions allowed. */
interface NumberSetting extends SettingBase, Bounded {
  type: "number";
  default: number | undefined;
  unit: string;
}
/** Written `30s`; read as milliseconds. */
interface DurationSetting extends SettingBase, Bounded {
  type: "duration";
  default: number | undefined;
}
/** Written `64MiB`; read as bytes. */
interface BytesSetting extends SettingBase, Bounded {
  type: "bytes";
  default: number | undefined;
}
/** Comma-separated in variable and flag (which may be repeated), a list in the file. `pairs`: each item is `name=value`. */
interface ListSetting extends SettingBase {
  type: "list";
  default: readonly string[];
  pairs?: boolean;
}

export type Setting =
  | StringSetting
  | BoolSetting
  | IntSetting
  | NumberSetting
  | DurationSetting
  | BytesSetting
  | ListSetting;

/** By the name that code reads it with, unit last: `sessionTtlMs`. */
export type SettingsTable = Record<string, Setting>;

type ValueOf<S extends Setting> = S extends { type: "list" }
  ? string[]
  : S extends { type: "bool" }
    ? boolean
    : S extends { type: "string"; choices: readonly (infer C)[] }
      ? undefined extends S["default"]
        ? C | undefined
        : C
      : S extends { type: "string" }
        ? undefined extends S["default"]
          ? string | undefined
          : string
        : undefined extends S["default"]
          ? number | undefined
          : number;

/** What a process gets: one value per entry; without a default it may be undefined. Durations are ms, sizes bytes. */
export type SettingsOf<T extends SettingsTable> = { [K in keyof T]: ValueOf<T[K]> };

/** The flag's name without dashes: what command-line parsers key by. */
export function flagName(setting: Setting): string {
  return setting.flag.slice(2);
}

/** Its key in a configuration file, which holds a secret itself and not a path. */
export function fileKey(setting: Setting): string {
  const name = flagName(setting).replaceAll("-", "_");
  return setting.secret ? name.replace(/_file$/, "") : name;
}
