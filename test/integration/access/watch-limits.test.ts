/** Who watches with a limited login: at the coordinator that leads, and through another. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { createClient } from "../../../shared/api/client.ts";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX } from "../../../shared/api/event.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { createUser, logIn } from "../../support/users.ts";

interface Answer {
  status: number;
  code: string | undefined;
}

/** How the upgrade is answered. */
function upgrade(t: TestContext, url: string, secret: string): Promise<Answer> {
  const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/events`, [EVENTS_SUBPROTOCOL, secret]);
  t.after(() => socket.terminate());
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () => resolve({ status: 101, code: undefined }));
    socket.on("unexpected-response", async (_request, response) => {
      const body = JSON.parse(Buffer.concat(await response.toArray()).toString());
      resolve({ status: response.statusCode ?? 0, code: body.code });
    });
  });
}

test("a token that may not read, and a login whose password must change, open no events socket", async (t) => {
  const at = await startTestCoordinator(t);
  const replica = await startTestCoordinator(t, { beside: at, leading: false });
  const ada = await createUser(at, { username: "ada" });
  const { one_time_password: once } = await at.client.call("createUser", { body: { username: "new" } });
  const fresh = await logIn(at.url, "new", once ?? "");
  const token = async (name: string, scopes: ["read" | "experiments"]): Promise<string> =>
    (await ada.client.call("createToken", { body: { name, scopes } })).token;
  const [reading, submitting] = [await token("reading", ["read"]), await token("submitting", ["experiments"])];
  for (const url of [at.url, replica.url]) {
    const bearer = (secret: string): Promise<Answer> => upgrade(t, url, BEARER_SUBPROTOCOL_PREFIX + secret);
    assert.deepEqual(await bearer(submitting), { status: 403, code: "scope_missing" });
    assert.deepEqual(await bearer(fresh.login.access_token), { status: 403, code: "password_change_required" });
    assert.equal((await bearer(reading)).status, 101);
    assert.equal((await bearer(ada.login.access_token)).status, 101);
    const limited = createClient({ server: url, token: submitting });
    await assert.rejects(limited.call("createEventsTicket", {}), { status: 403, code: "scope_missing" });
    const { ticket } = await createClient({ server: url, token: reading }).call("createEventsTicket", {});
    assert.equal((await upgrade(t, url, TICKET_SUBPROTOCOL_PREFIX + ticket)).status, 101);
  }
});
