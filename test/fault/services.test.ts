/**
 * SpiceDB, then OpenBao, killed and then frozen under a sweep that runs beside a bound credential. What they are asked for
 * is refused with the reason; nothing is let through; the sweep does not notice; and when they answer again so does the
 * coordinator, which was never started anew.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type ApiError, createClient } from "../../shared/api/client.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { startOpenBao, type TestOpenBao } from "../support/openbao.ts";
import { type Spicedb, startSpicedb } from "../support/servers/spicedb.ts";
import { needs } from "../support/services.ts";

const TASKS = 200;
/** Two at a time: the sweep lasts longer than all of the faults together, or waits at the end for what is left of it. */
const WORK = ": > {ledger}/$AIRAVATA_TASK_INDEX; sleep 0.25";

const skip = needs("spicedb") || needs("openbao");

test("a sweep outlives the death and the silence of SpiceDB and OpenBao", { skip, timeout: 300_000 }, async (t) => {
  const spicedb = await startSpicedb({ store: "postgres" });
  t.after(() => spicedb.stop());
  const bao = await startOpenBao((end) => t.after(end));
  const files = { key: spicedb.key, secret: bao.secretId };
  await FaultStack.with({ coordinatorWords: wordsFor(spicedb, bao, write(t, files)) }, async (stack) => {
    const ledger = join(stack.directory, "ledger");
    await mkdir(ledger);
    const pid = stack.coordinator.pid;
    const done = (): number => readdirSync(ledger).length;
    const credential = await boundCredential(stack);
    const experiment = await stack.submit({
      tasks: { sweep: { task_inputs: { i: `1..${TASKS}` }, command: WORK.replace("{ledger}", ledger) } },
    });
    await until("tasks run", () => done() > 5);
    const goesOn = async (): Promise<void> => {
      const before = done();
      await until("tasks go on", () => done() >= Math.min(TASKS, before + 5));
    };

    const faults: [string, () => Promise<void>, () => Promise<void>][] = [
      ["killed", () => spicedb.kill(), () => spicedb.start()],
      ["frozen", async () => spicedb.freeze(), async () => spicedb.thaw()],
    ];
    for (const [how, harm, heal] of faults) {
      await harm();
      // What was allowed a moment ago is remembered for two seconds.
      const refusal = await until(`${how}, it refuses`, () =>
        stack.experiment(experiment).then(() => undefined, asRefusal),
      );
      assert.deepEqual([refusal.status, refusal.code], [503, "authorization_unavailable"], how);
      assert.match(refusal.message, /SpiceDB at 127\.0\.0\.1/);
      assert.ok((refusal.retryAfterSeconds ?? 0) > 0);
      await nothingIsLetThrough(stack, experiment);
      await goesOn();
      await heal();
      await until(`${how} and healed, it answers`, () => stack.experiment(experiment).catch(() => undefined));
      t.diagnostic(`SpiceDB ${how} and back after ${done()} tasks`);
    }

    await bao.kill();
    const away = await refused(() => create(stack, "away"));
    assert.deepEqual([away.status, away.code], [503, "vault_unreachable"]);
    await goesOn();
    await bao.start();
    const sealed = await refused(() => create(stack, "sealed"));
    assert.deepEqual([sealed.status, sealed.code], [503, "vault_sealed"]);
    await bao.unseal();
    await until("unsealed, it keeps credentials", () => create(stack, "back").catch(() => undefined));
    bao.freeze();
    const frozen = await refused(() => create(stack, "frozen"));
    assert.deepEqual([frozen.status, frozen.code], [503, "vault_unreachable"]);
    await goesOn();
    bao.thaw();
    await until("thawed, it keeps credentials", () => create(stack, "thawed").catch(() => undefined));
    t.diagnostic(`OpenBao back after ${done()} tasks`);
    const tested = await stack.client.call("testCredential", { params: { credential } });
    assert.equal(tested.ok, true);

    const ended = await stack.ended(experiment, 200_000);
    assert.deepEqual([ended.state, ended.tasks.completed], ["COMPLETED", TASKS]);
    assert.equal(stack.coordinator.pid, pid);
  });
});

/** Neither the operator nor a stranger, whatever was answered before. */
async function nothingIsLetThrough(stack: FaultStack, experiment: number): Promise<void> {
  const calls = [
    () => stack.client.call("listExperiments", { query: {} }),
    () => stack.client.call("listProjects", {}),
    () => stack.client.call("cancelExperiment", { params: { experiment: experiment as never }, body: {} }),
    () => stack.client.call("createEnrolmentToken", { body: { note: "no" } }),
    () => stack.submit({ tasks: { a: { argv: ["/bin/true"] } } }),
  ];
  for (const call of calls) assert.equal((await refused(call)).code, "authorization_unavailable");
  const stranger = createClient({ server: stack.url, token: "apt_nobody-at-all-0123456789" });
  assert.ok([401, 503].includes((await refused(() => stranger.call("listExperiments", { query: {} }))).status));
}

function asRefusal(error: ApiError): ApiError {
  return error;
}

async function refused(call: () => Promise<unknown>): Promise<ApiError> {
  return call().then(
    (answer) => assert.fail(`answered ${JSON.stringify(answer).slice(0, 200)}`),
    (error: ApiError) => error,
  );
}

async function create(stack: FaultStack, name: string): Promise<string> {
  const body = { name, type: "TOKEN" as const, secret: Buffer.from(`a secret of ${name}`).toString("base64") };
  return String((await stack.client.call("createCredential", { body })).id);
}

async function boundCredential(stack: FaultStack): Promise<number> {
  await stack.client.call("createComputeResource", {
    body: { name: "cluster", kind: "slurm", configuration: { host: "login.example" } },
  });
  const credential = Number(await create(stack, "bound"));
  const body = { compute_resource: "cluster" };
  await stack.client.call("bindCredential", { params: { credential }, body });
  return credential;
}

function write(t: TestContext, files: Record<string, string>): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), "airavata-services-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text, { mode: 0o600 });
  return (name) => join(directory, name);
}

function wordsFor(spicedb: Spicedb, bao: TestOpenBao, file: (name: string) => string): string[] {
  return [
    ...["--spicedb-endpoint", spicedb.endpoint, "--spicedb-token-file", file("key"), "--spicedb-insecure"],
    ...["--openbao-addr", bao.url, "--openbao-role-id", bao.roleId, "--openbao-secret-id-file", file("secret")],
  ];
}
