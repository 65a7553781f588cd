/**
 * kill -9 of `airavata up`, three times in the middle of a sweep, and a new one on the same data directory each time: the
 * new one ends what the old one left behind, its agent adopts what runs, and the run that watches comes to its end.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createClient } from "../../shared/api/client.ts";
import { AIRAVATA } from "../support/cli.ts";
import { testStack } from "../support/cli-stack.ts";
import { Ledger } from "../support/fault-ledger.ts";
import { FaultProcess, until } from "../support/fault-process.ts";
import { endRunners, listening } from "../support/fault-stack.ts";

const TASKS = 600;
/** They run from before the first death until after the last one. */
const LONG = 2;
const DEATHS = 3;
const TOKEN = "aop_for-tests-only-0123456789";

const stack = testStack();
after(async () => {
  await stack.end();
  await endRunners(join(stack.dataDir, "agents"));
});

test("a killed `up` costs nothing: the next one adopts what runs and the sweep finishes", async () => {
  const ledger = new Ledger(join(stack.directory, "ledger"));
  const go = join(stack.directory, "go");
  const env = { ...process.env, AIRAVATA_CPUS: "8", AIRAVATA_OPERATOR_TOKEN: TOKEN };
  const words = ["up", "--port", "0", "--data-dir", stack.dataDir];
  const up = new FaultProcess({ name: "up", program: AIRAVATA, words, env, log: join(stack.directory, "up.log") });
  up.start();
  const url = await listening(up);
  words.splice(1, 2, "--port", new URL(url).port);

  const run = startRun(ledger, go, url);
  try {
    for (let death = 1; death <= DEATHS; death++) {
      const share = (TASKS * death) / (DEATHS + 1);
      await until(`${share} tasks have ended`, () => ledger.ends() >= share, 120_000);
      await up.kill("SIGKILL");
      up.start();
    }
    await until("all short tasks have ended", () => ledger.ends() >= TASKS, 120_000);
    writeFileSync(go, "");
    assert.equal(await run.gone(120_000), 0, run.said);
  } finally {
    await run.kill("SIGKILL");
  }

  // Nobody's death ended a task: each attempt that began came to its end.
  const [begun, ended] = [ledger.lines("begin"), ledger.lines("end")];
  assert.deepEqual(
    [...begun.keys()].filter((key) => !ended.has(key)),
    [],
  );
  const { items } = await createClient({ server: url, token: TOKEN }).call("listTasks", {
    params: { experiment: 1 },
    query: { limit: 500, template: "long" },
  });
  assert.deepEqual(
    items.map(({ state, attempt }) => [state, attempt]),
    Array(LONG).fill(["COMPLETED", 1]),
  );
  assert.equal(new Set([...ended.keys()].map((key) => key.split(".")[0])).size, TASKS);
});

function startRun(ledger: Ledger, go: string, url: string): FaultProcess {
  const file = join(stack.directory, "sweep.yaml");
  const requires = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
  const spec = {
    tasks: {
      long: { command: `while [ ! -e "$GO" ]; do sleep 0.02; done`, task_inputs: { i: `1..${LONG}` }, requires },
      short: { command: Ledger.command("sleep 0.05"), task_inputs: { i: `1..${TASKS}` }, requires },
    },
    resources: { environment: { LEDGER: ledger.path, GO: go } },
  };
  writeFileSync(file, JSON.stringify(spec));
  const run = new FaultProcess({
    name: "airavata run",
    program: AIRAVATA,
    words: ["run", file],
    env: { ...process.env, AIRAVATA_SERVER: url, AIRAVATA_TOKEN: TOKEN, XDG_CONFIG_HOME: "/none" },
    log: join(stack.directory, "run.log"),
  });
  run.start();
  return run;
}
