/** The command line's part of a device login: what it shows, how often it asks, what it sits out. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { loginByDevice } from "../../../agent/cli/device.ts";
import { plain } from "../../../agent/cli/terminal.ts";
import { createClient } from "../../../shared/api/client.ts";
import { CliServer } from "../../support/cli-server.ts";

const server = new CliServer();
before(() => server.start());
after(() => server.stop());

const SESSION = { access_token: "a", refresh_token: "r" };
const pending = { status: "pending", session: null };
const problem = (status: number, code: string) => ({
  status,
  body: { type: `urn:airavata:error:${code}`, title: "x", status, detail: `it is ${code}`, code, request_id: "r" },
});

let polls: { status: number; body: object }[] = [];
let handles: unknown[] = [];
beforeEach(() => {
  handles = [];
  server.intercept = ({ path, body }, response) => {
    const isStart = path === "/auth/oidc/device";
    const started = {
      handle: "h",
      user_code: "AB\u001b[31mCD",
      verification_uri: "https://idp.example.org/device",
      verification_uri_complete: "https://idp.example.org/device?code=ABCD",
      interval_seconds: 5,
      expires_in_seconds: 12,
    };
    if (!isStart) handles.push((body as { handle: unknown }).handle);
    const answer = isStart ? { status: 200, body: started } : (polls.shift() ?? { status: 200, body: pending });
    const type = answer.status === 200 ? "application/json" : "application/problem+json";
    response.writeHead(answer.status, { "content-type": type }).end(JSON.stringify(answer.body));
    return true;
  };
});

function login() {
  const waits: number[] = [];
  const shown: string[] = [];
  const err = { write: (text: string) => void shown.push(text), columns: 0, isTerminal: false, paint: plain };
  const wait = async (ms: number): Promise<void> => void waits.push(ms);
  const session = loginByDevice({ client: createClient({ server: server.url }), err, wait });
  return { session, waits, shown };
}

test("it shows the code without what could drive the terminal, and asks until there is a session", async () => {
  polls = [
    { status: 200, body: pending },
    problem(503, "oidc_unavailable"),
    { status: 200, body: { status: "done", session: SESSION } },
  ];
  const { session, waits, shown } = login();
  assert.deepEqual(await session, SESSION);
  assert.deepEqual(waits, [5_000, 5_000, 5_000]);
  assert.deepEqual(handles, ["h", "h", "h"]);
  assert.deepEqual(shown, [
    "Open https://idp.example.org/device and enter the code ABCD\n",
    "or open https://idp.example.org/device?code=ABCD\n",
  ]);
});

test("a refusal ends it, and so does the code's time", async () => {
  polls = [problem(403, "oidc_denied")];
  await assert.rejects(login().session, { code: "oidc_denied" });
  polls = [];
  const late = login();
  await assert.rejects(late.session, { code: "oidc_login_expired" });
  assert.equal(late.waits.length, 3);
});
