/**
 * Where the client finds its server: flag, then environment, then `config.yaml`. A token from the file is only ever shown
 * to the server that the same file names, so that `--server` elsewhere cannot carry it away.
 */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import { readSettings, type SettingsOrigin } from "../../shared/settings/read.ts";
import type { SettingsOf, SettingsTable } from "../../shared/settings/setting.ts";

export const CLIENT_SETTINGS = {
  server: {
    type: "string",
    flag: "--server",
    variable: "AIRAVATA_SERVER",
    default: undefined,
    doc: "URL of the coordinator; without one the embedded stack of the data directory is used",
  },
  caFile: {
    type: "string",
    flag: "--ca-file",
    variable: "AIRAVATA_CA_FILE",
    default: undefined,
    doc: "file with the authorities that the server's certificate may be signed by; the system's when not set",
  },
  token: {
    type: "string",
    flag: "--token-file",
    variable: "AIRAVATA_TOKEN",
    default: undefined,
    secret: true,
    doc: "file that holds the bearer token of the server",
  },
  dataDir: {
    type: "string",
    flag: "--data-dir",
    variable: "AIRAVATA_DATA_DIR",
    default: undefined,
    doc: "directory of the embedded stack",
  },
  project: {
    type: "string",
    flag: "--project",
    variable: "AIRAVATA_PROJECT",
    default: undefined,
    doc: "project of new experiments and of lists",
  },
} as const satisfies SettingsTable;

export interface ClientSettings {
  values: SettingsOf<typeof CLIENT_SETTINGS>;
  origin: SettingsOrigin<typeof CLIENT_SETTINGS>;
  /** Where the configuration file is or would be. */
  configPath: string;
  /** Where logins are kept. */
  credentialsPath: string;
  dataDir: string;
  environment: NodeJS.ProcessEnv;
}

/**
 * Reads the client's settings. `flags` are keyed by flag name without dashes. A missing configuration file is no error.
 * Throws `setting_invalid` and `setting_unknown`.
 */
export async function readClientSettings(
  flags: Record<string, unknown>,
  environment: NodeJS.ProcessEnv,
): Promise<ClientSettings> {
  const configPath = join(baseDirectory(environment.XDG_CONFIG_HOME, ".config"), "config.yaml");
  const content = await readConfig(configPath);
  const { values, origin } = readSettings(CLIENT_SETTINGS, {
    flags,
    env: environment,
    file: { path: configPath, content },
    readFile: (path) => readFileSync(path, "utf8"),
  });
  const credentialsPath = join(dirname(configPath), "credentials.json");
  const dataDir = resolve(values.dataDir ?? defaultDataDir(environment));
  return { values, origin, configPath, credentialsPath, dataDir, environment };
}

/** `$XDG_DATA_HOME/airavata`; as root `/var/lib/airavata`, where PostgreSQL's own user can reach it. */
function defaultDataDir(environment: NodeJS.ProcessEnv): string {
  if (process.getuid?.() === 0) return "/var/lib/airavata";
  return baseDirectory(environment.XDG_DATA_HOME, ".local/share");
}

/** The token that may be shown to the configured server; undefined when there is none. */
export function configuredToken({ values, origin }: ClientSettings): string | undefined {
  if (origin.token === "file" && origin.server !== "file") return undefined;
  return values.token;
}

function baseDirectory(configured: string | undefined, fallback: string): string {
  // The XDG specification says that a relative path there is to be ignored.
  const base = configured?.startsWith("/") ? configured : join(homedir(), fallback);
  return join(base, "airavata");
}

async function readConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT" || (cause as NodeJS.ErrnoException).code === "ENOTDIR") {
      return undefined;
    }
    throw new AiravataError("setting_invalid", `The configuration file ${path} cannot be read.`, { cause });
  }
  const { parse } = await import("yaml");
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch (cause) {
    throw new AiravataError("setting_invalid", `The configuration file ${path} is not valid YAML.`, { cause });
  }
}
