/**
 * SpiceDB is killed, frozen and emptied while tasks run: whoever asks the API is refused and told why, tasks and agents go
 * on, and all comes back without a restart of ours.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ApiError } from "../../shared/api/client.ts";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { type Spicedb, type SpicedbOptions, startSpicedb } from "../support/servers/spicedb.ts";
import { needs } from "../support/services.ts";

const KEY = "a-preshared-key-of-a-fault-test";
const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const LANES = 4;

test("tasks run on under a SpiceDB that is killed, and then frozen", { skip: needs("spicedb") }, async () => {
  await underFaults("postgres", async ({ stack, spicedb, finish }) => {
    await spicedb.kill();
    await refused(stack, /is not reachable/);
    await finish(2 * LANES);
    await spicedb.start();
    await answered(stack);

    spicedb.freeze();
    await refused(stack, /gave no answer within 2 s/);
    await finish(2 * LANES);
    spicedb.thaw();
    await answered(stack);
  });
});

test("a SpiceDB that comes back empty is loaded again", { skip: needs("spicedb") }, async () => {
  await underFaults("memory", async ({ stack, spicedb, finish }) => {
    await spicedb.kill();
    await spicedb.start();
    await finish(2 * LANES);
    // What is remembered covers the loss for some seconds, so both may be seen: refused, or loaded already.
    await until("the store is loaded again", async () => {
      const answer = await stack.client
        .call("createEnrolmentToken", { body: { note: "after" } })
        .catch(ofAuthorization);
      return !(answer instanceof ApiError);
    });
    await spicedb.kill();
    await refused(stack, /is not reachable/);
    await spicedb.start();
    await answered(stack);
  });
});

interface Setting {
  stack: FaultStack;
  spicedb: Spicedb;
  /** Lets so many tasks more be over, and waits until they say so. */
  finish(tasks: number): Promise<void>;
}

/** A sweep of which each task ends when it is told; at the end all that is left may, and each must count once. */
async function underFaults(store: SpicedbOptions["store"], body: (setting: Setting) => Promise<void>): Promise<void> {
  const spicedb = await startSpicedb({ store, key: KEY });
  const keyFile = join(tmpdir(), `airavata-fault-key-${process.pid}`);
  writeFileSync(keyFile, KEY, { mode: 0o600 });
  const words = ["--spicedb-endpoint", spicedb.endpoint, "--spicedb-token-file", keyFile, "--spicedb-insecure"];
  try {
    await FaultStack.with({ cpus: LANES, coordinatorWords: words }, async (stack) => {
      const ledger = new Ledger(join(stack.directory, "ledger"));
      const go = join(stack.directory, "go");
      mkdirSync(go);
      const tasks = 10 * LANES;
      const command = Ledger.command(`while [ ! -e "$GO/$AIRAVATA_TASK_INDEX" ]; do sleep 0.02; done`);
      const id = await stack.submit({
        tasks: { work: { command, task_inputs: { i: `1..${tasks}` }, requires: REQUIRES } },
        resources: { environment: { LEDGER: ledger.path, GO: go } },
      });
      let told = 0;
      const finish = async (more: number): Promise<void> => {
        for (const last = told + more; told < last; told++) writeFileSync(join(go, String(told)), "");
        await until("the tasks that were told are over", () => ledger.ends() >= told);
      };
      await finish(LANES);
      await body({ stack, spicedb, finish });
      await finish(tasks - told);
      assert.equal((await stack.ended(id)).state, "COMPLETED");
      const { contradictions, inVain } = await judge(stack, id, tasks, ledger);
      assert.deepEqual(contradictions, []);
      assert.deepEqual(inVain, {});
      assert.equal((await stack.agentRecord())?.state, "READY");
    });
  } finally {
    await spicedb.stop();
  }
}

/** Everything that needs a right is refused with 503, when to come back, and the reason; health is not. */
async function refused(stack: FaultStack, why: RegExp): Promise<void> {
  const error = await until("the API refuses", () =>
    stack.client.call("listExperiments", { query: {} }).then(() => false as const, ofAuthorization),
  );
  assert.equal(error.status, 503);
  assert.match(error.message, why);
  assert.ok((error.retryAfterSeconds ?? 0) > 0, "no Retry-After");
  assert.ok(!JSON.stringify(error.problem).includes(KEY));
  const health = await fetch(`${stack.url}/api/v1/health`);
  assert.equal(health.status, 200);
}

async function answered(stack: FaultStack): Promise<void> {
  await until("the API answers", () =>
    stack.client.call("listExperiments", { query: {} }).then(
      () => true,
      (error) => ofAuthorization(error) && false,
    ),
  );
}

/** The error, which must be of an authorization that cannot be asked. */
function ofAuthorization(error: unknown): ApiError {
  assert.ok(error instanceof ApiError, String(error));
  assert.equal(error.code, "authorization_unavailable", error.message);
  return error;
}
