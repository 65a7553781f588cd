/** The agents' socket against strangers: wrong proofs, broken frames, silence, floods, other origins. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { WebSocket } from "ws";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { generateIdentityKey } from "../../../shared/identity/identity.ts";
import { FRAME_BYTES_MAX } from "../../../shared/model/constants.ts";
import type { AgentId } from "../../../shared/model/ids.ts";
import { encodeFrames } from "../../../shared/protocol/codec.ts";
import type { FromAgent } from "../../../shared/protocol/messages.ts";
import { AgentPeer, connectAgent, enrolTestAgent, helloOf, until } from "../../support/agent-peer.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";

async function refusedHello(url: string, hello: (challenge: never) => FromAgent) {
  const peer = new AgentPeer(url);
  peer.send(hello((await peer.next("challenge")) as never));
  const error = await peer.next("error");
  await peer.waitClosed();
  assert.ok(!peer.received.some(({ type }) => type === "welcome"));
  return error;
}

test("a hello is welcome only with the agent's own key, name, nonce and version", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const other = { ...identity, privatePem: generateIdentityKey().privatePem };
  const cases: [string, (challenge: never) => FromAgent, string, string][] = [
    ["another key", (challenge) => helloOf(other, challenge), "hello_refused", "enrol"],
    ["another name", (challenge) => helloOf({ ...identity, name: "peer-2" }, challenge), "hello_refused", "enrol"],
    [
      "no such agent",
      (challenge) => helloOf({ ...identity, agent: 99 as AgentId }, challenge),
      "hello_refused",
      "enrol",
    ],
    ["no proof", (challenge) => helloOf(identity, challenge, { proof: "" }), "hello_refused", "enrol"],
    [
      "the proof of another connection",
      (challenge) => helloOf(identity, { ...(challenge as object), nonce: "old" } as never),
      "hello_refused",
      "enrol",
    ],
    [
      "another timeline",
      (challenge) => helloOf(identity, { ...(challenge as object), timeline: 9 } as never),
      "hello_refused",
      "enrol",
    ],
    [
      "a version of the future",
      (challenge) => helloOf(identity, challenge, { version: 99 }),
      "protocol_version_unsupported",
      "stop",
    ],
  ];
  for (const [what, hello, code, reaction] of cases) {
    const error = await refusedHello(at.url, hello);
    assert.deepEqual([error.code, error.reaction], [code, reaction], what);
  }
  (await connectAgent(at, identity)).close();
});

test("broken frames end their connection and nothing else", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const healthy = await connectAgent(at, identity);
  const second = await enrolTestAgent(at, "peer-2");
  const [hello] = encodeFrames({ type: "goodbye", reason: "x" });
  const frames: (Buffer | string)[] = [
    Buffer.alloc(0),
    Buffer.from([0xc1]),
    Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0x81, 0xa4, 0x74, 0x79, 0x70, 0x65]),
    Buffer.alloc(5_000, 0x91),
    Buffer.from("text as binary"),
    "text",
    Buffer.from(hello!),
    Buffer.alloc(FRAME_BYTES_MAX + 1),
  ];
  for (const proven of [false, true]) {
    for (const frame of frames) {
      if (proven && frame === frames[7]) continue;
      const peer = proven ? await connectAgent(at, second) : new AgentPeer(at.url);
      await peer.next("challenge");
      peer.socket.send(frame);
      await peer.waitClosed();
    }
  }
  // A type of a newer program is answered, not punished.
  const peer = await connectAgent(at, second);
  peer.socket.send(Buffer.from([0x81, 0xa4, 0x74, 0x79, 0x70, 0x65, 0xa3, 0x6e, 0x65, 0x77]));
  const answer = await peer.next("error");
  assert.deepEqual([answer.code, answer.reaction], ["frame_invalid", "none"]);
  assert.equal(peer.closed, undefined);
  // Answers to questions that nobody asked are dropped.
  peer.send({ type: "chunk", request: 77, offset: 0, data: Buffer.from("x"), totalBytes: 1, end: true });
  peer.send({ type: "listed", request: 78, outputs: [], end: true });
  peer.send(helloOf(second, await peer.next("challenge")));
  await peer.waitClosed();
  assert.equal(healthy.closed, undefined);
  healthy.close();
});

test("who says no hello is cut off; half-open and slow ones too", async (t) => {
  const at = await startTestCoordinator(t);
  const begun = performance.now();
  const peer = new AgentPeer(at.url);
  const error = await peer.next("error");
  assert.equal(error.code, "hello_timeout");
  await peer.waitClosed();
  assert.ok(performance.now() - begun >= 4_900);
});

test("two sessions of one agent: the newer one counts, the older one is closed", async (t) => {
  const at = await startTestCoordinator(t);
  const identity = await enrolTestAgent(at);
  const older = await connectAgent(at, identity);
  const newer = await connectAgent(at, identity);
  assert.match((await older.waitClosed()).reason, /opened another session/);
  assert.deepEqual(reactionOf(await older.next("error")), ["agent_identity_shared", "stop"]);
  assert.deepEqual(reactionOf(await newer.next("error")), ["agent_identity_shared", "none"]);
  const { session } = await at.client.call("getAgent", { params: { agent: identity.agent } });
  assert.equal(session?.epoch, (await newer.next("welcome")).epoch);
  assert.ok((await older.next("welcome")).epoch < (await newer.next("welcome")).epoch);
  assert.equal(newer.closed, undefined);
  newer.send({ type: "goodbye", reason: "done" });
  await newer.waitClosed();
  await until(async () => {
    const agent = await at.client.call("getAgent", { params: { agent: identity.agent } });
    return agent.state === "GONE";
  }, "the agent to be GONE");
});

test("upgrades are refused as problems: unknown paths, no token, other origins", async (t) => {
  const at = await startTestCoordinator(t);
  const open = (path: string, options: { protocols?: string[]; headers?: Record<string, string> }): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(at.url.replace(/^http/, "ws") + path, options.protocols ?? [], {
        headers: options.headers,
      });
      socket.on("open", () => resolve(`open ${socket.protocol}`) ?? socket.close());
      socket.on("error", () => {});
      socket.on("unexpected-response", (_request, response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve(`${response.statusCode} ${JSON.parse(text).code}`));
      });
    });
  const bearer = { authorization: `Bearer ${at.token}` };
  const events = `${API_PREFIX}/events`;
  const session = `${API_PREFIX}/agent/session`;
  assert.equal(await open(events, {}), "401 unauthorized");
  assert.equal(await open(events, { headers: { authorization: "Bearer wrong" } }), "401 unauthorized");
  assert.equal(await open(`${events}?token=${at.token}`, {}), "400 token_in_query");
  assert.equal(await open("/elsewhere", { headers: bearer }), "404 route_not_found");
  assert.equal(await open("/elsewhere", {}), "401 unauthorized");
  assert.equal(await open(events, { headers: { ...bearer, origin: "https://evil.example" } }), "403 origin_refused");
  assert.equal(await open(session, { headers: { origin: "null" } }), "403 origin_refused");
  assert.equal(await open(events, { headers: { ...bearer, origin: at.url } }), "open ");
  assert.equal(
    await open(events, { protocols: ["airavata.events.1", `airavata.bearer.${at.token}`] }),
    "open airavata.events.1",
  );
  assert.equal(await open(events, { protocols: ["airavata.events.1", "airavata.bearer.wrong"] }), "401 unauthorized");
});

test("bytes that are no HTTP, and sockets that say nothing, do no harm", async (t) => {
  const at = await startTestCoordinator(t);
  const { port } = new URL(at.url);
  for (const bytes of [
    "\0\0\0\0",
    "GET / HTTP/9.9\r\n\r\n",
    `GET ${API_PREFIX}/agent/session HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
    `GET /${"x".repeat(100_000)} HTTP/1.1\r\n`,
  ]) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), "127.0.0.1", () => socket.end(bytes));
      socket.resume();
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
  }
  assert.equal((await at.client.call("health", {})).status, "ok");
});

test("a stopping coordinator tells its agents to come back, and ends within a second", async (t) => {
  const at = await startTestCoordinator(t);
  const peer = await connectAgent(at, await enrolTestAgent(at));
  const begun = performance.now();
  await at.coordinator.stop();
  const tookMs = performance.now() - begun;
  await peer.waitClosed();
  assert.ok(tookMs < 1_000, `it took ${tookMs} ms`);
});

function reactionOf(error: { code: string; reaction: string }): [string, string] {
  return [error.code, error.reaction];
}
