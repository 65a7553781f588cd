/** A transaction: all of `work` or nothing of it. */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";

const STATEMENT_TIMEOUT_MS = 5_000;

/** Rejects with what `work` threw, after a rollback. When the answer to the commit was lost, nobody knows. */
export function transaction<T>(pool: ConnectionPool, work: (connection: Connection) => Promise<T>): Promise<T> {
  return pool.use(async (connection) => {
    await connection.query("begin", STATEMENT_TIMEOUT_MS);
    try {
      const result = await work(connection);
      await connection.query("commit", STATEMENT_TIMEOUT_MS);
      return result;
    } catch (error) {
      if (!connection.isLost) await connection.query("rollback", STATEMENT_TIMEOUT_MS);
      throw error;
    }
  });
}
