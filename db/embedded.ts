/**
 * The embedded PostgreSQL of `airavata up` and `run`: made at first use below `<data-dir>/postgres`, taken over when it is
 * still running from before, restarted when it dies, stopped in order. One live process owns it: it holds an advisory
 * lock on a connection of its own, which PostgreSQL frees the moment that process is gone.
 */
import { chown, mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AiravataError } from "../shared/error/error.ts";
import { type Logger, silentLogger } from "../shared/log/log.ts";
import { parseDatabaseUrl } from "./address.ts";
import { type Connection, openConnection } from "./connection.ts";
import { type Binaries, prepareBinaries, removeOldBinaries } from "./embedded/binaries.ts";
import { EMBEDDED_USER, ensureCluster, ensurePassword } from "./embedded/cluster.ts";
import {
  findPostmaster,
  findReadyPostmaster,
  fitsSocket,
  freePort,
  type Listening,
  SOCKET_PORT,
  startPostmaster,
  stopPostmaster,
} from "./embedded/postmaster.ts";
import { chooseUser, letPass, type RunAs } from "./embedded/user.ts";

export interface EmbeddedDatabase {
  /** Address of database `airavata_scheduler`; stays the same through restarts. Holds the password. */
  readonly url: string;
  /** Process id of the running postgres; null in the moment between its death and its restart. */
  pid(): number | null;
  /** Stops it and gives the data directory up. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  log?: Logger;
  /** Further settings of the server, by name. */
  settings?: Record<string, string>;
}

interface Place {
  root: string;
  data: string;
  binaries: Binaries;
  runAs: RunAs;
  password: string;
  options: EmbeddedOptions;
}

const DATABASE = "airavata_scheduler";
/** `pg_advisory_lock(this, 0)` in database `postgres` while a process owns the data directory. */
const OWNER_LOCK = 7_304_005;
const QUERY_TIMEOUT_MS = 5_000;
/** Two processes that start at once collide a few times at most: initdb, start, ownership. */
const START_TRIES = 5;
/** After a death: at once, then doubling up to this. */
const RESTART_DELAY_MS_MAX = 5_000;

/**
 * Starts or takes over the database below `dataDir`, which is made when missing. Rejects with `data_directory_in_use`,
 * `data_directory_invalid`, `disk_full`, `embedded_database_missing` or `embedded_database_failed`.
 */
export async function startEmbedded(dataDir: string, options: EmbeddedOptions = {}): Promise<EmbeddedDatabase> {
  try {
    const place = await prepare(resolve(dataDir), options);
    const first = await own(place);
    await createDatabase(first.owner);
    await removeOldBinaries(place.root, place.binaries);
    return supervise(place, first);
  } catch (error) {
    throw refusal(error, dataDir);
  }
}

async function prepare(dataDir: string, options: EmbeddedOptions): Promise<Place> {
  const root = join(dataDir, "postgres");
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  await mkdir(root, { recursive: true, mode: 0o711 });
  const runAs = await chooseUser(join(root, "data"));
  await letPass(dataDir, runAs);
  await letPass(root, runAs);
  const binaries = await prepareBinaries(root, runAs !== null);
  const password = await ensurePassword(root);
  const data = await ensureCluster(root, binaries, runAs, password);
  const run = join(root, "run");
  await mkdir(run, { recursive: true, mode: 0o700 });
  if (runAs) await chown(run, runAs.uid, runAs.gid);
  return { root, data, binaries, runAs, password, options };
}

interface Owned {
  listening: Listening;
  owner: Connection;
}

/** A running server of our version with this process as its owner; keeps `listening` when it is given. */
async function own(place: Place, listening?: Listening): Promise<Owned> {
  for (let attempt = 1; ; attempt++) {
    try {
      const at = await running(place, listening);
      const owner = await openConnection(parseDatabaseUrl(urlOf(place, at, "postgres")), {
        name: `airavata owner ${process.pid}`,
      });
      await takeOwnership(owner, place);
      const program = findPostmaster(place.data)?.program;
      if (program === undefined || program === join(place.binaries.bin, "postgres")) return { listening: at, owner };
      // Left behind by another version of the package, or its files are gone: ours takes its place.
      await owner.end();
      await stopPostmaster(place.data);
    } catch (error) {
      if (error instanceof AiravataError && ["data_directory_in_use", "disk_full"].includes(error.code)) throw error;
      if (attempt >= START_TRIES) throw error;
      await delay(100 * attempt);
    }
  }
}

async function running(place: Place, wanted: Listening | undefined): Promise<Listening> {
  const { root, data, binaries, runAs, options } = place;
  const found = await findReadyPostmaster(data);
  if (found) return found.listening;
  const directory = join(root, "run");
  const listening = wanted ?? (fitsSocket(directory) ? { directory } : { port: await freePort() });
  const logFile = join(root, "postgres.log");
  await startPostmaster({ binaries, data, runAs, listening, logFile, settings: options.settings });
  return listening;
}

async function takeOwnership(owner: Connection, place: Place): Promise<void> {
  const [lock] = await owner.rows<{ got: boolean }>(
    `select pg_try_advisory_lock(${OWNER_LOCK}, 0) as got`,
    [],
    QUERY_TIMEOUT_MS,
  );
  if (lock?.got) return;
  const [holder] = await owner.rows<{ name: string }>(
    `select a.application_name as name from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.classid = ${OWNER_LOCK} and l.granted`,
    [],
    QUERY_TIMEOUT_MS,
  );
  await owner.end();
  const pid = /\d+$/.exec(holder?.name ?? "")?.[0];
  throw new AiravataError(
    "data_directory_in_use",
    `${place.root} is in use by another running airavata${pid ? ` (process ${pid})` : ""}: stop that one, or use another --data-dir`,
    { data: pid ? { pid: Number(pid) } : {} },
  );
}

async function createDatabase(owner: Connection): Promise<void> {
  const [row] = await owner.rows("select from pg_database where datname = $1", [DATABASE], QUERY_TIMEOUT_MS);
  if (!row) await owner.query(`create database ${DATABASE}`, 60_000);
}

function urlOf(place: Place, listening: Listening, database: string): string {
  const socket = "directory" in listening;
  const port = socket ? SOCKET_PORT : listening.port;
  const query = socket ? `?host=${encodeURIComponent(listening.directory)}` : "";
  return `postgresql://${EMBEDDED_USER}:${place.password}@127.0.0.1:${port}/${database}${query}`;
}

/** Restarts it when it dies. The connection that proves ownership is also what notices the death, at once. */
function supervise(place: Place, first: Owned): EmbeddedDatabase {
  const log = place.options.log ?? silentLogger;
  const { listening } = first;
  let owner: Connection | null = first.owner;
  let stopping = false;

  const watch = async (): Promise<void> => {
    while (!stopping && owner) {
      const reason = await owner.lost;
      if (stopping) return;
      log.warn("the embedded PostgreSQL ended; it is being restarted", { error: reason });
      owner = null;
      for (let delayMs = 0; !stopping && !owner; delayMs = Math.min(RESTART_DELAY_MS_MAX, 2 * delayMs + 100)) {
        await delay(delayMs);
        try {
          owner = (await own(place, listening)).owner;
          log.info("the embedded PostgreSQL runs again");
        } catch (error) {
          log.error("the embedded PostgreSQL could not be restarted", { error });
        }
      }
    }
  };
  const watching = watch();

  return {
    url: urlOf(place, listening, DATABASE),
    pid: () => findPostmaster(place.data)?.pid ?? null,
    stop: async () => {
      stopping = true;
      await owner?.end();
      await watching;
      // A restart that was under way has given us an owner again.
      await owner?.end();
      await stopPostmaster(place.data);
    },
  };
}

function refusal(error: unknown, dataDir: string): unknown {
  if (error instanceof AiravataError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new AiravataError(
      "disk_full",
      `The disk of ${dataDir} is full: free some space, or use another --data-dir`,
      { cause: error },
    );
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "ENOTDIR") {
    const message = `The data directory ${dataDir} cannot be used by this user: make it yours, or use another --data-dir`;
    return new AiravataError("data_directory_invalid", message, { cause: error });
  }
  return error;
}
