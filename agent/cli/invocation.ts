/**
 * What every command gets: the streams it may write to, its arguments and options, the settings, and the way to the server.
 */
import type { Client } from "../../shared/api/client.ts";
import type { ClientSettings } from "./settings.ts";
import type { Screen } from "./terminal.ts";

export interface Invocation {
  environment: NodeJS.ProcessEnv;
  /** Results: what a pipe gets. */
  out: Screen;
  /** Progress, notes and errors: what a person watches. */
  err: Screen;
  json: boolean;
  unicode: boolean;
  /** Positional arguments in their order; optional ones that were not given are undefined. */
  args: (string | undefined)[];
  /** Rest arguments (`TASK...`), empty where the command takes none. */
  options: Record<string, unknown>;
  settings: ClientSettings;
  /** Connects to the configured server, else to the live stack of the data directory; throws `server_not_configured`. */
  connect(): Promise<Connection>;
}

export interface Connection {
  client: Client;
  /** Set when it is the embedded stack of this data directory: it may come back under another URL. */
  localDataDir: string | undefined;
}

/** What a command does; the exit code, or nothing for 0. Errors are thrown. */
export type Run = (invocation: Invocation) => Promise<number | undefined>;

/** Prints one JSON document, or one line of a stream. */
export function printJson(invocation: Pick<Invocation, "out">, value: unknown): void {
  invocation.out.write(`${JSON.stringify(value)}\n`);
}
