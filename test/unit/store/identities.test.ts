/** Lookups of keys: one alone goes at once, many go together, and a failure is told to exactly those who asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentIdentities } from "../../../coordinator/store/identities.ts";
import type { ConnectionPool } from "../../../db/pool.ts";
import type { AgentId } from "../../../shared/model/ids.ts";

/** A pool that answers when it is told to. */
function slowPool() {
  const queries: { agents: number[]; answer: PromiseWithResolvers<object[]> }[] = [];
  const rows = (_: string, [agents]: [number[]]): Promise<object[]> => {
    const answer = Promise.withResolvers<object[]>();
    queries.push({ agents, answer });
    return answer.promise;
  };
  return { queries, identities: new AgentIdentities({ rows } as unknown as ConnectionPool) };
}

const row = (agent: number) => ({
  agent,
  name: `n${agent}`,
  publicKey: Buffer.from([agent % 256]),
  serves: null,
});
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("the first goes at once; those who ask meanwhile go together, at most 500 in one query", async () => {
  const { queries, identities } = slowPool();
  const first = identities.find(1 as AgentId);
  assert.deepEqual(queries[0]?.agents, [1]);
  const later = Array.from({ length: 700 }, (_, i) => identities.find((i + 2) as AgentId));
  assert.equal(queries.length, 1);
  queries[0]?.answer.resolve([row(1)]);
  assert.deepEqual(await first, { name: "n1", publicKey: Buffer.from([1]), serves: null });
  await settled();
  assert.equal(queries[1]?.agents.length, 500);
  queries[1]?.answer.resolve(queries[1].agents.map(row));
  await settled();
  assert.equal(queries[2]?.agents.length, 200);
  queries[2]?.answer.resolve([]);
  const found = await Promise.all(later);
  assert.equal(found[499]?.name, "n501");
  assert.equal(found[500], undefined);
  await settled();
  assert.equal(queries.length, 3);
});

test("a query that fails is told to those who asked, and the next one goes out", async () => {
  const { queries, identities } = slowPool();
  const first = identities.find(1 as AgentId);
  const second = identities.find(2 as AgentId);
  queries[0]?.answer.reject(new Error("gone"));
  await assert.rejects(first, /gone/);
  await settled();
  queries[1]?.answer.resolve([row(2)]);
  assert.equal((await second)?.name, "n2");
});
