/** `airavata enrolment`, `enrol` and `agent revoke` against a real coordinator, as a person types them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentDirectory, removeAgentDirectory } from "../../support/agent.ts";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

test("a token of two uses at a compute resource: made, used from file and environment, shown, and its agent revoked", async (t) => {
  const at = await startTestCoordinator(t);
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const directory = await agentDirectory();
  at.defer(() => removeAgentDirectory(directory));
  const unknown = await airavata(["enrolment", "create", "--compute", "hpc1"], { env });
  assert.match(unknown.stderr, /no compute resource hpc1, or you may not see it/);
  await at.client.call("createComputeResource", {
    body: { name: "hpc1", kind: "slurm", configuration: { host: "login.hpc1", username: "site" } },
  });
  const made = await airavata(
    ["enrolment", "create", "--compute", "hpc1", "--uses", "2", "--expires", "7d", "--note", "rack 3"],
    { env },
  );
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /Token 1, for 2 agents of project default at hpc1, until /);
  const token = made.stdout.trim();
  assert.match(token, /^aet_/);

  const file = join(directory, "token");
  writeFileSync(file, `${token}\n`);
  const enrol = (name: string, words: string[], more: Record<string, string> = {}) =>
    airavata(["enroll", ...words, "--name", name, "--api-url", at.url, "--output-dir", join(directory, name)], {
      env: more,
    });
  const elsewhere = await enrol("n0", ["--token-file", file], { COMPUTE_ID: "hpc2" });
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.stderr, /says that it is at compute resource "hpc2" \(COMPUTE_ID\).*is for "hpc1"/);
  assert.match(
    (await enrol("n1", ["--token-file", file], { COMPUTE_ID: "hpc1" })).stdout,
    /Enrolled as agent 1 \(n1\)/,
  );
  assert.match((await enrol("n2", [], { AIRAVATA_ENROLMENT_TOKEN: token })).stdout, /Enrolled as agent 2 \(n2\)/);
  const third = await enrol("n3", ["--token", token]);
  assert.match(third.stderr, /stood in the list of processes/);
  assert.match(third.stderr, /was used by 2 other agents: create a new one/);
  // A later one needs none, and does not wait for one.
  assert.match((await enrol("n1", [])).stdout, /Enrolled as agent 1 \(n1\)/);

  const shown = await airavata(["enrolment", "show", "1"], { env });
  assert.match(shown.stdout, /^uses +2 of 2$/m);
  assert.match(shown.stdout, /^agent 1 +n1, .*from 127\.0\.0\.1$/m);
  assert.ok(!shown.stdout.includes(token));
  assert.match((await airavata(["enrolment", "list"], { env })).stdout, /used +2\/2 +default +hpc1/);
  assert.match((await airavata(["agent", "show", "n2"], { env })).stdout, /^compute resource +hpc1$/m);
  const revoked = await airavata(["agent", "revoke", "n2", "--reason", "sold"], { env });
  assert.match(revoked.stdout, /Agent 2 \(n2\) is revoked; it held no tasks\. Its name is free again\./);
  assert.equal((await airavata(["agent", "show", "2"], { env })).code, 5);
});
