/**
 * Where PostgreSQL's CPU time goes, by what its processes are for: looked at twice a second while a benchmark runs, so
 * that backends that have ended meanwhile count as well.
 */
import { readFileSync } from "node:fs";
import pg from "pg";
import { textTable } from "../report/table.ts";

const PERIOD_MS = 500;
const TICK_MS = 10;

interface Seen {
  what: string;
  firstMs: number;
  lastMs: number;
}

export interface BackendWatch {
  /** Ends it and resolves with a table. */
  stop(): Promise<string>;
}

export async function watchBackends(url: string): Promise<BackendWatch> {
  const client = new pg.Client({ connectionString: url, application_name: "bench watch" });
  await client.connect();
  const seen = new Map<number, Seen>();
  let first = true;
  const look = async (): Promise<void> => {
    const { rows } = await client.query<{ pid: number; what: string }>(
      `select pid, case when backend_type = 'client backend' then coalesce(datname, '') || ', ' || application_name
                        else backend_type end as what
       from pg_stat_activity where pid <> pg_backend_pid()`,
    );
    for (const { pid, what } of rows) {
      const ms = cpuMsOf(pid);
      if (ms === undefined) continue;
      const known = seen.get(pid);
      if (known) known.lastMs = ms;
      // One that came later began at nothing.
      else seen.set(pid, { what, firstMs: first ? ms : 0, lastMs: ms });
    }
    first = false;
  };
  await look();
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, PERIOD_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await looking;
      await look();
      await client.end();
      return tableOf([...seen.values()]);
    },
  };
}

function tableOf(seen: Seen[]): string {
  const sums = new Map<string, number>();
  for (const { what, firstMs, lastMs } of seen) sums.set(what, (sums.get(what) ?? 0) + lastMs - firstMs);
  const all = [...sums.values()].reduce((sum, ms) => sum + ms, 0);
  const rows = [...sums]
    .filter(([, ms]) => ms > 0)
    .sort((a, b) => b[1] - a[1])
    .map(([what, ms]) => [what, ms.toFixed(0), `${((ms / all) * 100).toFixed(1)} %`]);
  return textTable("PostgreSQL's processes", ["", "cpu ms", "share"], rows);
}

function cpuMsOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}
