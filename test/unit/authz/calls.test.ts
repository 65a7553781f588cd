import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, askStream, type CallFailure, type CallOptions } from "../../../coordinator/authz/calls.ts";
import type { Link, SpicedbClient } from "../../../coordinator/authz/link.ts";

const CLIENT = {} as SpicedbClient;

function link(client: () => Promise<SpicedbClient> = async () => CLIENT): Link & { distrusted: SpicedbClient[] } {
  const distrusted: SpicedbClient[] = [];
  return { where: "SpiceDB", client, distrust: (one) => void distrusted.push(one), close: async () => {}, distrusted };
}

function failure(code: number, details = "its own words"): CallFailure {
  return Object.assign(new Error(`${code}: ${details}`), { code, details });
}

const FAILURES: [code: number, is: string, sentence: RegExp, distrusts: boolean][] = [
  [2, "authorization_unavailable", /^SpiceDB cannot answer: its own words$/, false],
  [3, "internal", /does not understand what it was asked: its own words/, false],
  [4, "authorization_unavailable", /^SpiceDB gave no answer within 7 s$/, true],
  [7, "authorization_unavailable", /refuses our key/, false],
  [8, "authorization_unavailable", /cannot answer/, false],
  [9, "authorization_unavailable", /cannot answer/, false],
  [14, "authorization_unavailable", /^SpiceDB is not reachable$/, false],
  [16, "authorization_unavailable", /refuses our key/, false],
];

for (const [code, is, message, distrusts] of FAILURES) {
  test(`status ${code} of gRPC`, async () => {
    const spicedb = link();
    const cause = failure(code);
    const asked = ask(spicedb, 7_000, (_client, _options, done) => done(cause));
    await assert.rejects(asked, { code: is, message, cause, data: { grpc_code: code } });
    assert.equal(spicedb.distrusted.length, distrusts ? 1 : 0);
  });
}

test("each call has its deadline, which began before the client was there", async () => {
  const given: CallOptions[] = [];
  const before = Date.now();
  const slow = link(() => new Promise((resolve) => setImmediate(() => resolve(CLIENT))));
  assert.equal(
    await ask<number>(slow, 5_000, (client, options, done) => {
      assert.equal(client, CLIENT);
      given.push(options);
      done(null, 7);
    }),
    7,
  );
  const deadline = given[0]?.deadline ?? 0;
  assert.ok(deadline >= before + 5_000 && deadline <= Date.now() + 5_000);
});

test("an engine that never gets ready is not waited for", async () => {
  const never = link(() => new Promise(() => {}));
  const refusal = { code: "authorization_unavailable", message: "SpiceDB is not ready after 0.02 s" };
  await assert.rejects(
    ask(never, 20, () => assert.fail("asked")),
    refusal,
  );
  await assert.rejects(
    askStream(
      never,
      20,
      () => assert.fail("asked"),
      () => true,
    ),
    refusal,
  );
});

test("a stream that has given enough, or too little, is canceled", async () => {
  const canceled: string[] = [];
  const stream = (name: string, end?: CallFailure) => ({
    async *[Symbol.asyncIterator]() {
      yield 1;
      yield 2;
      if (end) throw end;
      yield 3;
    },
    cancel: () => void canceled.push(name),
    on: () => {},
  });
  const taken: number[] = [];
  const take = (answer: number): boolean => taken.push(answer) < 2;
  await askStream(link(), 1_000, () => stream("enough"), take);
  assert.deepEqual(taken, [1, 2]);
  const broken = askStream(
    link(),
    1_000,
    () => stream("broken", failure(14)),
    () => true,
  );
  await assert.rejects(broken, { code: "authorization_unavailable" });
  assert.deepEqual(canceled, ["enough", "broken"]);
});
