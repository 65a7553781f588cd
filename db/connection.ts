/**
 * One connection to PostgreSQL, as this system uses them all: every query has a time limit, after which the connection
 * is destroyed, because nobody knows any more what it did. A lost connection is told once and refuses from then on.
 */
import pg from "pg";
import type { DatabaseAddress } from "./address.ts";
import { databaseRefusal } from "./refusal.ts";

export interface ConnectionOptions {
  /** Shown by pg_stat_activity, so that an operator sees who is who. */
  name: string;
  connectTimeoutMs?: number;
  types?: pg.CustomTypesConfig;
  /** Settings of the session, applied before the first query. */
  settings?: Record<string, string>;
}

/** A network that drops packets is given up after this; a local server answers in milliseconds. */
const CONNECT_TIMEOUT_MS = 5_000;
/** The server notices a dead client (its locks must go) after 5 + 3 × 2 s. */
const KEEPALIVE_SETTINGS = {
  tcp_keepalives_idle: "5",
  tcp_keepalives_interval: "2",
  tcp_keepalives_count: "3",
};
/**
 * What each session must have whatever the server's or the role's defaults are: our tables, and statements that see
 * what was committed before they began (the term check depends on it).
 */
const SESSION_SETTINGS = {
  ...KEEPALIVE_SETTINGS,
  search_path: "public",
  default_transaction_isolation: "read committed",
  TimeZone: "UTC",
  DateStyle: "ISO, MDY",
};

export class Connection {
  readonly #client: pg.Client;
  readonly #lost = Promise.withResolvers<Error>();
  #error: Error | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: pg.Client) {
    this.#client = client;
    client.on("error", (error) => this.#lose(error));
    client.on("end", () => this.#lose(new Error("the connection to PostgreSQL ended")));
  }

  /** Resolves with the reason when the connection is gone, by whatever side. */
  get lost(): Promise<Error> {
    return this.#lost.promise;
  }

  get isLost(): boolean {
    return this.#error !== null;
  }

  /**
   * Runs one query. Rejects with PostgreSQL's error, or after `timeoutMs` with a time-out and the connection destroyed:
   * then what was asked for may or may not have happened. Queries run one after the other; waiting counts as time.
   */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(
    query: pg.QueryConfig | string,
    timeoutMs: number,
  ): Promise<pg.QueryResult<R>> {
    if (this.#error) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      let settled = false;
      const settle = (act: () => void): void => {
        if (settled) return;
        settled = true;
        clearTimeout(timer);
        act();
      };
      // After a stall of this process timers run before sockets are read: an answer that is already here must win.
      const timer = setTimeout(
        () => setImmediate(() => settle(() => reject(this.destroy(timedOut(timeoutMs))))),
        timeoutMs,
      );
      const turn = this.#last.then(() => {
        if (this.#error) throw this.#error;
        return this.#client.query<R>(query);
      });
      this.#last = turn.catch(() => {});
      turn.then(
        (result) => settle(() => resolve(result)),
        (error) => settle(() => reject(error)),
      );
    });
  }

  /** Several rows of values are common; this is `query` for a statement with values. */
  async rows<R extends pg.QueryResultRow>(text: string, values: unknown[], timeoutMs: number): Promise<R[]> {
    return (await this.query<R>({ text, values }, timeoutMs)).rows;
  }

  /** Cuts the connection without a word; returns the reason. */
  destroy(reason: Error = new Error("the connection to PostgreSQL was closed")): Error {
    this.#lose(reason);
    streamOf(this.#client)?.destroy();
    return reason;
  }

  /** Says goodbye; resolves when the server has ended the session or after a second. */
  async end(): Promise<void> {
    if (this.#error) return;
    this.#error = new Error("the connection to PostgreSQL was closed");
    const ended = this.#client.end().catch(() => {});
    const timer = setTimeout(() => streamOf(this.#client)?.destroy(), 1_000);
    await ended;
    clearTimeout(timer);
    this.#lost.resolve(this.#error);
  }

  #lose(error: Error): void {
    this.#error ??= error;
    this.#lost.resolve(this.#error);
  }
}

function timedOut(timeoutMs: number): Error {
  return Object.assign(new Error(`PostgreSQL did not answer within ${timeoutMs} ms`), { code: "ETIMEDOUT" });
}

function streamOf(client: pg.Client): { destroy(): void } | undefined {
  return (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream;
}

/** Settings as one statement: a start-up packet with options does not pass every pooler. */
function settingsQuery(settings: Record<string, string>): pg.QueryConfig {
  const names = Object.keys(settings);
  const calls = names.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, false)`);
  return { text: `select ${calls.join(", ")}`, values: names.flatMap((name) => [name, settings[name]]) };
}

function clientConfig(address: DatabaseAddress, options: ConnectionOptions): pg.ClientConfig {
  return {
    connectionString: address.url,
    application_name: options.name,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    types: options.types,
  };
}

/** Opens a connection. Rejects with `database_refused`, `database_unavailable` or `disk_full`, each with what to do. */
export async function openConnection(address: DatabaseAddress, options: ConnectionOptions): Promise<Connection> {
  const client = new pg.Client(clientConfig(address, options));
  const connection = new Connection(client);
  try {
    await client.connect();
    const settings = { ...SESSION_SETTINGS, ...options.settings };
    await connection.query(settingsQuery(settings), options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS);
    return connection;
  } catch (error) {
    connection.destroy();
    throw databaseRefusal(error, address);
  }
}
