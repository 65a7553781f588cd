/** Groups, members, shares and resources against a real coordinator, as a person types them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { airavata } from "../../support/cli.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";

test("groups, members, shares and resources are typed, shown and listed", async (t) => {
  const at = await startTestCoordinator(t);
  for (const username of ["alice", "bob"]) await createUser(at, { username });
  const env = { AIRAVATA_SERVER: at.url, AIRAVATA_TOKEN: at.token };
  const type = async (line: string, code = 0): Promise<string> => {
    const ended = await airavata(line.split(" "), { env });
    assert.equal(ended.code, code, `${line}: ${ended.stderr}`);
    return code === 0 ? ended.stdout : ended.stderr;
  };

  await type("group create lab --description ours");
  assert.match(await type("group members add lab alice bob"), /^members +alice, bob$/m);
  await type("group create faculty");
  assert.match(await type("group members add faculty group:lab"), /^members +group:lab$/m);
  assert.match(await type("group members add lab alice --manager"), /^managers +alice$/m);
  assert.match(await type("group members remove lab bob"), /^members +alice$/m);
  assert.match(await type("group set lab --description theirs"), /^description +theirs$/m);
  assert.match(await type("group list"), /^faculty .*\n^lab .*theirs$/m);
  assert.equal(JSON.parse(await type("group show lab --json")).members[0].name, "alice");
  assert.match(await type("group members add lab group:faculty", 3), /circle/);

  assert.match(await type("project members add default bob group:lab"), /^bob +submitter .*\n^group:lab +submitter /m);
  assert.match(await type("project members add default bob --role owner"), /^bob +owner /m);
  assert.match(await type("project members add default bob --role king", 3), /owner, operator, submitter, viewer/);
  assert.match(await type("group delete lab", 3), /delete with force/);
  assert.match(await type("group delete lab --force"), /lab is deleted/);
  assert.doesNotMatch(await type("project members list default"), /lab/);
  assert.match(await type("project members remove default bob"), /Nobody belongs to it/);
  assert.match(await type("project set default --on-removal pause"), /^on removal +pause the work/m);

  const { id } = await at.client.call("submitExperiment", { body: { spec: 'tasks: { a: { command: "true" } }' } });
  assert.match(await type(`experiment share ${id} alice group:faculty --write`), /^group:faculty +write /m);
  assert.match(await type(`experiment unshare ${id} alice`), /^WITH .*\ngroup:faculty +write/m);
  assert.equal(JSON.parse(await type(`experiment shares ${id} --json`)).items.length, 1);
  assert.match(await type(`experiment share ${id} nobody`, 5), /no user nobody/);
  assert.match(await type(`experiment share ${id} group:`, 3), /names nobody/);

  await type("compute create cluster --kind slurm --set host=login --set port=22", 3);
  await type("compute create cluster --installation --kind slurm --set host=login --set port=22 --set q=a --set q=b");
  assert.match(
    await type("compute update cluster --set host=other --unset port"),
    /^configuration +q=a,b host=other$/m,
  );
  assert.match(await type("compute share cluster bob --write"), /^bob +write /m);
  assert.match(await type("compute show cluster"), /none, it is the installation's[\s\S]*^bob +write /m);
  assert.match(await type("compute unshare cluster bob"), /Shared with nobody/);
  assert.match(await type("compute list"), /^cluster +slurm +- +q=a,b host=other/m);
  assert.match(await type("compute delete cluster"), /cluster is deleted/);
  await type("compute show cluster", 5);
  const made = JSON.parse(await type("storage create files --project default --kind local --set path=/data --json"));
  assert.deepEqual([made.project, made.configuration], ["default", { path: "/data" }]);
});
