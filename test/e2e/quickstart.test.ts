/** What a person does first: one command on a machine with nothing configured, as root and as a plain user. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { airavata, ROOT } from "../support/cli.ts";
import { testStack } from "../support/cli-stack.ts";

const SWEEP = join(ROOT, "examples", "sweep.yaml");
const NOBODY = { uid: 65534, gid: 65534 };

for (const owner of process.getuid?.() === 0 ? [undefined, NOBODY] : [undefined]) {
  describe(`as ${owner ? "a plain user" : "the user of this process"}`, () => {
    const stack = testStack(owner);
    const options = { env: { HOME: stack.directory }, ...owner };
    let firstPid: number | undefined;
    after(() => stack.end());

    test("a sweep runs on a stack that is started for it, and its outputs are right", async () => {
      const results = join(stack.directory, "results");
      const { code, stdout, stderr } = await airavata(
        ["run", SWEEP, "--data-dir", stack.dataDir, "--output-dir", results],
        options,
      );
      assert.equal(code, 0, stderr);
      assert.match(
        stderr,
        /^No server is configured: starting the embedded stack in .*\nExperiment 1 \(sweep\), 49 tasks\.\n/,
      );
      assert.match(stdout, /^sweep \(experiment 1\): COMPLETED, 49 tasks in /);
      assert.match(stdout, /\nestimate +24 +24 +0 +\d+ ms +\d/);
      assert.match(stdout, /\nOutputs: \/.*\/agents\/local-1\/work\/1\n/);
      assert.match(stdout, /48 output files/);
      // power 2, seed 6: index 11, since the last input varies fastest.
      const [power, seed, mean] = readFileSync(join(results, "estimate", "11", "estimate.txt"), "utf8").split(" ");
      assert.deepEqual([power, seed], ["2", "6"]);
      assert.ok(Math.abs(Number(mean) - 1 / 3) < 0.02, `the mean is ${mean}`);
      firstPid = stack.pid();
      assert.notEqual(firstPid, undefined, "the stack lives on for the next run");
    });

    test("a second run uses the same stack", async () => {
      const { code, stderr } = await airavata(["run", SWEEP, "--data-dir", stack.dataDir], options);
      assert.equal(code, 0);
      assert.match(stderr, /using the running stack/);
      assert.match(stderr, /Experiment 2 /);
      assert.equal(stack.pid(), firstPid);
    });

    test("every other command finds the stack and its token by itself", async () => {
      const ask = async (...words: string[]) => {
        const { code, stdout, stderr } = await airavata([...words, "--data-dir", stack.dataDir], options);
        assert.equal(code, 0, `${words.join(" ")}: ${stderr}`);
        return stdout;
      };
      assert.match(await ask("experiment", "list"), /2 +sweep +COMPLETED +49\/49/);
      assert.match(await ask("experiment", "show", "1"), /state +COMPLETED/);
      assert.match(await ask("experiment", "tasks", "1", "--template", "summary"), /1\/summary\/0 +COMPLETED/);
      assert.match(
        await ask("experiment", "outputs", "1", "--template", "estimate", "--index", "3"),
        /estimate\/3\/estimate\.txt/,
      );
      assert.match(await ask("task", "show", "1/estimate/11"), /power=2.*seed=6|seed=6.*power=2/);
      assert.match(await ask("task", "logs", "1/summary/0"), /power +mean +exact/);
      assert.match(await ask("agent", "list"), /local-1 +READY/);
      assert.match(await ask("auth", "status"), /logged in as/);
      assert.match(await ask("admin", "check"), /database +ok/);
    });
  });
}
