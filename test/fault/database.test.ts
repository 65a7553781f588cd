/**
 * PostgreSQL under the coordinator: the journal's session is ended between send and commit, a commit's answer is lost,
 * others take every connection, its disk is full. What was accepted is there once, tasks run on, and what is said says what
 * to do.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmdirSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Connection } from "../../db/connection.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { FaultLink } from "../support/fault-link.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { needs } from "../support/services.ts";

const LANES = 4;
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const QUERY_MS = 10_000;
const ROUNDS = 2;
/** What a submit may be answered with while nobody can say whether it happened. */
const MAY_HAVE_HAPPENED = /^(not_leading|server_unreachable|database_unavailable)$/;
const NO_CONNECTION = /has no free connection: others have taken all that max_connections allows/;
const DISK = "200m";
const PIECE_BYTES = 1 << 20;
/** 128 characters each: 60 kB of text. */
const LARGE_HASHES = 480;

test("a journal session that dies between send and commit, or whose answer is lost", {
  timeout: 240_000,
}, async (t) => {
  await FaultStack.with({ cpus: LANES }, async (stack) => {
    const { link, url } = await FaultLink.toDatabase(stack.databaseUrl);
    const blocker = await stack.connection();
    try {
      await stack.coordinator.kill("SIGTERM");
      stack.coordinator.command.env.DATABASE_URL = url;
      stack.coordinator.start();
      await stack.agentIs("READY");
      const work = await begin(stack, 150, "sleep 0.2");
      for (let round = 0; round < ROUNDS; round++) {
        // Appends take this lock shared: held alone, they wait inside their transaction.
        await blocker.query("select pg_advisory_lock(7304001, 0)", QUERY_MS);
        const submitting = submit(stack, `killed-${round}`);
        const pid = await until("an append waits", async () => {
          const rows = await stack.rows<{ pid: number }>(
            "select pid from pg_stat_activity where wait_event_type = 'Lock' and wait_event = 'advisory' and state = 'active'",
          );
          return rows[0]?.pid;
        });
        await stack.rows("select pg_terminate_backend($1)", [pid]);
        await blocker.query("select pg_advisory_unlock(7304001, 0)", QUERY_MS);
        t.diagnostic(`ended between send and commit: the submit was answered ${await submitting}`);
        await acceptedOnce(stack, `killed-${round}`);
      }
      link.set("deaf");
      t.diagnostic(`the answer of its commit was lost: the submit was answered ${await submit(stack, "unheard")}`);
      link.set("open");
      await acceptedOnce(stack, "unheard");
      await work.counts();
    } finally {
      await blocker.end();
      await stack.coordinator.kill("SIGKILL");
      await link.close();
    }
  });
});

test("a coordinator that finds every connection taken says so, waits, and goes on", { timeout: 240_000 }, async () => {
  await FaultStack.with({ cpus: LANES, cluster: { settings: { max_connections: "20" } } }, async (stack) => {
    const work = await begin(stack, 100, "sleep 0.2");
    await stack.coordinator.kill("SIGKILL");
    const taken: Connection[] = [];
    try {
      await until("every connection is taken", async () => {
        const connection = await stack.connection().catch(() => undefined);
        if (connection === undefined) return true;
        taken.push(connection);
        return undefined;
      });
      stack.coordinator.start();
      await until("it says so", () => NO_CONNECTION.test(readFileSync(stack.coordinator.command.log, "utf8")));
      assert.equal(stack.coordinator.ended, undefined);
    } finally {
      await Promise.all(taken.map((connection) => connection.end()));
    }
    await work.counts();
  });
});

test("a full disk under PostgreSQL: nothing is accepted that is not durable, and with room it goes on", {
  skip: needs("root"),
  timeout: 240_000,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "airavata-pg-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK}`, "tmpfs", directory]);
  chmodSync(directory, 0o711);
  try {
    await FaultStack.with({ cpus: LANES, cluster: { directory } }, async (stack) => {
      const work = await begin(stack, 100, "sleep 0.2");
      const ballast = join(directory, "ballast");
      fill(ballast);
      // Appends fit into what is allocated already, for a while.
      let accepted = 0;
      const refusal = await until("a submit is refused", async () => {
        const answer = await submit(stack, `full-${accepted}`, true);
        if (typeof answer === "string") return answer;
        accepted++;
        return undefined;
      });
      const said = () => readFileSync(stack.coordinator.command.log, "utf8");
      t.diagnostic(`${accepted} submits were accepted on the full disk, the next one was answered ${refusal}`);
      await until("it says what is to be done", () => /is full: free some space there/.test(said()));
      assert.equal(stack.coordinator.ended, undefined);
      const before = work.ledger.ends();
      rmSync(ballast);
      // A server that could not even write its log has ended itself: whoever looks after it starts it again.
      await stack.cluster.crash();
      await acceptedOnce(stack, `full-${accepted}`, true);
      for (let i = 0; i < accepted; i++) await acceptedOnce(stack, `full-${i}`, true);
      await work.counts();
      t.diagnostic(`${work.ledger.ends() - before} tasks ended after there was room again`);
    });
  } finally {
    execFileSync("umount", ["-l", directory]);
    rmdirSync(directory);
  }
});

/** Tasks that note what they do; waits until some have ended. `counts` waits for all and judges. */
async function begin(stack: FaultStack, tasks: number, work: string) {
  const ledger = new Ledger(join(stack.directory, "ledger"));
  const id = await stack.submit({
    tasks: { work: { command: Ledger.command(work), task_inputs: { i: `1..${tasks}` }, requires: REQUIRES } },
    resources: { environment: { LEDGER: ledger.path } },
  });
  await until("the first tasks have ended", () => ledger.ends() > 0);
  const counts = async (): Promise<void> => {
    assert.equal((await stack.ended(id, 120_000)).state, "COMPLETED");
    assert.deepEqual(await stack.taskStates(id), { COMPLETED: tasks });
    const { contradictions, inVain } = await judge(stack, id, tasks, ledger);
    assert.deepEqual({ contradictions, inVain }, { contradictions: [], inVain: {} });
  };
  return { ledger, counts };
}

/** Submits under a key, once: the experiment's number, or the code of the error. */
function submit(stack: FaultStack, key: string, large = false): Promise<number | string> {
  // The same for the same key, and nothing that compresses.
  const hash = (i: number): string => createHash("sha512").update(`${key} ${i}`).digest("hex");
  const ballast = large ? Array.from({ length: LARGE_HASHES }, (_, i) => hash(i)).join("") : "";
  const spec = { name: key, tasks: { a: { command: `true # ${ballast}`, requires: REQUIRES } } };
  return stack.client.call("submitExperiment", { body: { spec }, idempotencyKey: key }).then(
    ({ id }) => id,
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );
}

/** Submits under the same key until it is accepted; then it is there once. */
async function acceptedOnce(stack: FaultStack, key: string, large?: boolean): Promise<void> {
  await until(`${key} is accepted`, async () => {
    const answer = await submit(stack, key, large);
    if (typeof answer === "string") assert.match(answer, MAY_HAVE_HAPPENED);
    return typeof answer === "number";
  });
  const found = await stack.rows("select experiment from experiment where name = $1", [key]);
  assert.equal(found.length, 1, `${key} is there ${found.length} times`);
}

/** Writes until there is no room left. */
function fill(path: string): void {
  const file = openSync(path, "w");
  const piece = Buffer.alloc(PIECE_BYTES);
  try {
    for (let size = piece.length; size > 0; ) {
      try {
        writeSync(file, piece, 0, size);
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
        size >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}
