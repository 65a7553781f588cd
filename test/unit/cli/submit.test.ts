import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { submit } from "../../../agent/cli/submit.ts";
import { createClient } from "../../../shared/api/client.ts";
import { CliServer, sendProblem } from "../../support/cli-server.ts";

const server = new CliServer();
before(() => server.start());
after(() => server.stop());
beforeEach(() => {
  server.seen.length = 0;
  server.intercept = undefined;
});

const body = { spec: "tasks: {}" };
const send = (onWait = () => {}) => submit(createClient({ server: server.url }), body, onWait);

test("an answer that was lost is asked for again with the same key", async () => {
  let lost = 0;
  let waited = 0;
  server.intercept = (_, response) => {
    if (lost >= 2) return false;
    lost += 1;
    response.destroy();
    return true;
  };
  const experiment = await send(() => {
    waited += 1;
  });
  assert.equal(experiment.id, 17);
  assert.equal(server.seen.length, 3);
  assert.equal(new Set(server.seen.map(({ headers }) => headers["idempotency-key"])).size, 1);
  assert.equal(waited, 1, "a person is told once");
});

test("a server that cannot for now is asked again; two experiments have two keys", async () => {
  let refused = false;
  server.intercept = (_, response) => {
    if (refused) return false;
    refused = true;
    sendProblem(response, 503, "not_leading", "a new dispatcher is loading");
    return true;
  };
  await send();
  await send();
  const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(keys[0], keys[1]);
  assert.notEqual(keys[1], keys[2]);
});

test("a refusal is not repeated", async () => {
  server.intercept = (_, response) => {
    sendProblem(response, 422, "spec_invalid", "it is wrong");
    return true;
  };
  await assert.rejects(send(), { code: "spec_invalid", message: "it is wrong" });
  assert.equal(server.seen.length, 1);
});
