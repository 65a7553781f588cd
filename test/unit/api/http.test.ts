/** Small decisions of the HTTP side: ranges, access, problems, remembered answers. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { checkOrigin, createGate, tokenHash } from "../../../coordinator/api/http/access.ts";
import { parseRange } from "../../../coordinator/api/http/bytes.ts";
import { RememberedAnswers } from "../../../coordinator/api/http/idempotency.ts";
import { problemOf, refusalOf } from "../../../coordinator/api/http/problem.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

test("ranges", () => {
  const cases: [string | undefined, number, ReturnType<typeof parseRange>][] = [
    [undefined, 10, undefined],
    ["bytes=0-3", 10, [0, 4]],
    ["bytes=9-", 10, [9, 10]],
    ["bytes=3-99", 10, [3, 10]],
    ["bytes=-3", 10, [7, 10]],
    ["bytes=-30", 10, [0, 10]],
    ["bytes=10-", 10, "beyond"],
    ["bytes=0-", 0, "beyond"],
    ["bytes=-0", 10, "beyond"],
    ["bytes=-5", 0, "beyond"],
    ["bytes=5-3", 10, undefined],
    ["bytes=-", 10, undefined],
    ["bytes=a-b", 10, undefined],
    ["bytes=0-1,3-4", 10, undefined],
    ["bytes=9999999999999999-", 10, undefined],
    ["items=0-1", 10, undefined],
  ];
  for (const [header, size, expected] of cases) assert.deepEqual(parseRange(header, size), expected, header);
});

function request(options: { url?: string; headers?: Record<string, string>; remote?: string }): IncomingMessage {
  const { url = "/", headers = {}, remote = "10.0.0.1" } = options;
  return { url, headers, socket: { remoteAddress: remote } } as unknown as IncomingMessage;
}

test("the gate", () => {
  const gate = createGate(tokenHash("right"));
  const right = { authorization: "Bearer right" };
  const wrong = { authorization: "Bearer wrong" };
  assert.equal(gate.admit("token", request({ headers: right })).actor, OPERATOR_ACTOR);
  assert.equal(gate.admit("token", request({ headers: { authorization: "bearer right" } })).actor, OPERATOR_ACTOR);
  assert.equal(gate.admit("open", request({})).actor, SYSTEM_ACTOR);
  const refused = { code: "unauthorized" };
  for (const headers of [{}, wrong, { authorization: "right" }, { authorization: "Bearer " }]) {
    assert.throws(() => gate.admit("token", request({ headers, remote: "127.0.0.1" })), refused);
  }
  assert.equal(gate.admit("token_or_loopback", request({ remote: "127.0.0.1" })).actor, SYSTEM_ACTOR);
  assert.equal(gate.admit("token_or_loopback", request({ remote: "::ffff:127.0.0.1" })).actor, SYSTEM_ACTOR);
  assert.equal(gate.admit("token_or_loopback", request({ remote: "::1" })).actor, SYSTEM_ACTOR);
  for (const remote of ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", ""]) {
    assert.throws(() => gate.admit("token_or_loopback", request({ remote })), refused, remote);
  }
  assert.throws(() => gate.admit("token_or_loopback", request({ remote: "127.0.0.1", headers: wrong })), refused);
  assert.throws(
    () => gate.admit("token_or_loopback", request({ remote: "::1", headers: { forwarded: "for=1.2.3.4" } })),
    refused,
  );
  // The subprotocol counts for sockets only.
  const protocols = { "sec-websocket-protocol": "airavata.events.1, airavata.bearer.right" };
  assert.throws(() => gate.admit("token", request({ headers: protocols })), refused);
  assert.equal(gate.admit("token", request({ headers: { ...protocols, upgrade: "websocket" } })).actor, OPERATOR_ACTOR);
  assert.throws(() => gate.admit("open", request({ url: "/x?token=right" })), { code: "token_in_query" });
});

test("the gate believes what a coordinator states, and no more than it states", () => {
  const gate = createGate(tokenHash("right"));
  const stated = { actor: OPERATOR_ACTOR, client: "192.0.2.1", request: "r" };
  assert.deepEqual(gate.admit("token", request({}), stated), { actor: OPERATOR_ACTOR, stated });
  const nobody = { ...stated, actor: SYSTEM_ACTOR };
  assert.deepEqual(gate.admit("open", request({}), nobody), { actor: SYSTEM_ACTOR, stated: nobody });
  for (const access of ["token", "token_or_loopback"] as const) {
    assert.throws(() => gate.admit(access, request({ remote: "127.0.0.1" }), nobody), { code: "unauthorized" });
  }
});

test("origins: none, the same, and all others", () => {
  const host = "server:8080";
  checkOrigin(request({ headers: { host } }));
  checkOrigin(request({ headers: { host, origin: "http://server:8080" } }));
  checkOrigin(request({ headers: { host, origin: "https://server:8080" } }));
  for (const origin of [
    "http://server",
    "http://server:8081",
    "https://evil.example",
    "null",
    "http://server:8080.evil",
  ]) {
    assert.throws(() => checkOrigin(request({ headers: { host, origin } })), { code: "origin_refused" }, origin);
  }
});

test("what was not foreseen tells nothing of itself", () => {
  const { problem } = problemOf(refusalOf(new Error("password is hunter2")), "r-1");
  assert.deepEqual([problem.status, problem.code, problem.request_id], [500, "internal", "r-1"]);
  assert.doesNotMatch(JSON.stringify(problem), /hunter2/);
  const known = problemOf(new AiravataError("agent_offline", "agent 3 is away\u001b[31m"), "r-2");
  assert.deepEqual([known.problem.status, known.retryable], [503, true]);
  assert.equal(known.problem.detail, "agent 3 is away\\u001b[31m");
});

test("a remembered answer is made once, and again only when it failed or is a day old", async () => {
  let nowMs = 0;
  const answers = new RememberedAnswers<number>(() => nowMs);
  let made = 0;
  const make = async (): Promise<number> => ++made;
  const key = { key: "k", bodyHash: "h" };
  assert.deepEqual(await answers.once(null, make), { answer: 1, replayed: false });
  const both = await Promise.all([answers.once(key, make), answers.once(key, make)]);
  assert.deepEqual(both, [
    { answer: 2, replayed: false },
    { answer: 2, replayed: true },
  ]);
  await assert.rejects(answers.once({ ...key, bodyHash: "other" }, make), { code: "idempotency_key_reused" });
  nowMs = 24 * 3_600_000 + 1;
  assert.deepEqual(await answers.once({ ...key, bodyHash: "other" }, make), { answer: 3, replayed: false });
  const failing = { key: "f", bodyHash: "h" };
  await assert.rejects(answers.once(failing, () => Promise.reject(new Error("no"))));
  assert.deepEqual(await answers.once(failing, make), { answer: 4, replayed: false });
});
