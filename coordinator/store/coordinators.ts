/**
 * Coordinators by their public keys: each announces its own, the dispatcher reads those of the others. A key that was
 * not announced for a day is forgotten.
 */
import type { Connection } from "../../db/connection.ts";
import type { ConnectionPool } from "../../db/pool.ts";

/** What others know of a coordinator. */
export interface CoordinatorIdentity {
  /** 32 hexadecimal digits, drawn at start. */
  id: string;
  /** X25519, SPKI in DER. */
  publicKey: Buffer;
}

export interface CoordinatorStore {
  /** Makes a coordinator known for a day from now. */
  announce(identity: CoordinatorIdentity): Promise<void>;
  /** Those that were announced lately, the latest first. */
  known(): Promise<CoordinatorIdentity[]>;
}

const KEPT = "interval '1 day'";
/** Coordinators that start within a day; the oldest beyond it are not answered until they announce themselves anew. */
const KNOWN_MAX = 1_000;

const ANNOUNCE = `insert into coordinator (coordinator, public_key) values ($1, $2)
                  on conflict (coordinator) do update set seen_at = clock_timestamp()
                  where coordinator.public_key = excluded.public_key`;

export function createCoordinatorStore(pool: ConnectionPool): CoordinatorStore {
  return {
    announce: async ({ id, publicKey }) => {
      await pool.rows(`delete from coordinator where seen_at < clock_timestamp() - ${KEPT}`);
      await pool.rows(ANNOUNCE, [id, publicKey]);
    },
    known: () =>
      pool.rows<CoordinatorIdentity>(
        `select coordinator as id, public_key as "publicKey" from coordinator
         where seen_at > clock_timestamp() - ${KEPT} order by seen_at desc limit ${KNOWN_MAX}`,
      ),
  };
}

/** Within the transaction that wins a term, so that whoever reads who leads finds the key too. */
export async function announceWinner(
  journal: Connection,
  { id, publicKey }: CoordinatorIdentity,
  timeoutMs: number,
): Promise<void> {
  await journal.query({ text: ANNOUNCE, values: [id, publicKey] }, timeoutMs);
}
