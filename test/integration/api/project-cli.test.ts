/** `airavata project` against a real coordinator, as a person types it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

test("projects are made, limited, shown and listed", async (t) => {
  const at = await startTestCoordinator(t);
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const made = await airavata(["project", "create", "physics", "--weight", "2"], { env });
  assert.equal(made.code, 0, made.stderr);
  const words = ["--max-running-tasks", "100", "--max-cpus", "64", "--max-cpu-hours", "1000", "--per", "7d"];
  const set = await airavata(["project", "set", "physics", ...words], { env });
  assert.match(set.stdout, /^running +0 of 100$/m);
  assert.match(set.stdout, /^cpu-hours +0 of 1000 per 7 d/m);
  const lifted = await airavata(["project", "set", "physics", "--max-cpus", "none", "--json"], { env });
  assert.equal(JSON.parse(lifted.stdout).max_cpus, null);
  assert.match((await airavata(["project", "list"], { env })).stdout, /^physics +2 /m);
  assert.equal((await airavata(["project", "set", "physics"], { env })).code, 3);
  const unknown = await airavata(["project", "show", "chem"], { env });
  assert.match(unknown.stderr, /no project "chem", or you may not see it; yours are "default", "physics"/);
});
