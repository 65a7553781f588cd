/**
 * A few connections shared by whoever reads or writes single statements: opened when needed, kept while used, closed
 * after a quiet minute. A query that fails its time limit costs its connection, never the pool.
 */
import type pg from "pg";
import { type DatabaseAddress, parseDatabaseUrl } from "./address.ts";
import { type Connection, type ConnectionOptions, openConnection } from "./connection.ts";
import { databaseRefusal } from "./refusal.ts";

export interface PoolOptions extends ConnectionOptions {
  /** Connections at most; who comes when all are busy waits. */
  max: number;
  queryTimeoutMs: number;
}

/** After this long without use a connection is closed. */
const IDLE_MS = 60_000;

interface Idle {
  connection: Connection;
  timer: NodeJS.Timeout;
}

export class ConnectionPool {
  readonly #address: DatabaseAddress;
  readonly #options: PoolOptions;
  readonly #idle: Idle[] = [];
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #closed = false;

  constructor(url: string, options: PoolOptions) {
    this.#address = parseDatabaseUrl(url);
    this.#options = options;
  }

  /** Rows of one statement. Rejects with `database_unavailable` and its kin, or with PostgreSQL's error on what was asked. */
  async rows<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return this.use((connection) => connection.rows<R>(text, values, this.#options.queryTimeoutMs));
  }

  /** Gives a connection to `work` alone, for a transaction. */
  async use<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    while (this.#busy >= this.#options.max) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) throw new Error("the database was closed");
    this.#busy++;
    let connection: Connection | undefined;
    try {
      connection = this.#take() ?? (await openConnection(this.#address, this.#options));
      return await work(connection);
    } catch (error) {
      // An answer to what was asked is the caller's business; a lost connection is about the database.
      throw connection && !connection.isLost ? error : databaseRefusal(error, this.#address);
    } finally {
      this.#busy--;
      if (connection) this.#giveBack(connection);
      this.#waiting.shift()?.();
    }
  }

  /** Closes what is idle; what is busy is closed when it comes back. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(
      this.#idle.splice(0).map(({ connection, timer }) => {
        clearTimeout(timer);
        return connection.end();
      }),
    );
  }

  #take(): Connection | undefined {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer);
      if (!idle.connection.isLost) return idle.connection;
    }
    return undefined;
  }

  #giveBack(connection: Connection): void {
    if (connection.isLost) return;
    if (this.#closed) return void connection.end();
    const timer = setTimeout(() => {
      this.#idle.splice(this.#idle.indexOf(idle), 1);
      void connection.end();
    }, IDLE_MS);
    timer.unref();
    const idle = { connection, timer };
    this.#idle.push(idle);
  }
}
