/** Refusals on their way into the audit: counted, bounded, and told when some are lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRefusalLog, type Refusal } from "../../../coordinator/domain/audit/refusals.ts";
import type { AuditEntry } from "../../../coordinator/store/audit.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { type ActorId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

const MINUTE_MS = 60_000;

function refused(
  fields: { actor?: number; address?: string; resource?: string; code?: string; route?: string } = {},
): Refusal {
  const {
    actor = SYSTEM_ACTOR,
    address = "192.0.2.1",
    resource,
    code = "unauthorized",
    route = "listExperiments",
  } = fields;
  const by = { actor: actor as ActorId, via: actor === 0 ? "nobody" : "session 1", address, request: "r" };
  return { by, route, resource: resource === undefined ? null : { type: "project", id: resource }, code };
}

function setUp(t: { after(end: () => unknown): void }) {
  const written: AuditEntry[] = [];
  const batches: number[] = [];
  const state = { nowMono: 0, down: false };
  const log = createRefusalLog({
    append: async (entries) => {
      if (state.down) throw new Error("the database is away");
      batches.push(entries.length);
      written.push(...entries);
    },
    clock: { mono: () => state.nowMono },
    log: silentLogger,
  });
  t.after(() => log.close());
  return { log, written, batches, state };
}

test("the first is written at once, the rest of its minute as a number", async (t) => {
  const { log, written, state } = setUp(t);
  for (let i = 0; i < 1_000; i++) log.record(refused());
  await log.flush();
  assert.deepEqual(
    written.map(({ action, outcome, code, after }) => [action, outcome, code, after]),
    [["listExperiments", "refused", "unauthorized", undefined]],
  );
  state.nowMono = MINUTE_MS - 1;
  log.record(refused());
  await log.flush();
  assert.equal(written.length, 1);
  state.nowMono = MINUTE_MS;
  await log.flush();
  assert.deepEqual(written[1]?.after, { more: 1_000, within_seconds: 60 });
  assert.equal(written[1]?.by.address, "192.0.2.1");
  log.record(refused());
  await log.flush();
  assert.equal(written.length, 3);
});

test("one refusal alone is one entry", async (t) => {
  const { log, written, state } = setUp(t);
  log.record(refused());
  state.nowMono = 2 * MINUTE_MS;
  await log.flush();
  assert.equal(written.length, 1);
});

test("callers, addresses, routes, things and reasons are told apart", async (t) => {
  const { log, written } = setUp(t);
  const different = [
    {},
    { address: "192.0.2.2" },
    { route: "getUser" },
    { code: "forbidden" },
    { actor: 100, resource: "1" },
    { actor: 100, resource: "2" },
    { actor: 101, resource: "1" },
  ];
  for (const fields of [...different, ...different]) log.record(refused(fields));
  await log.flush();
  assert.equal(written.length, different.length);
});

test("one network, and one person, take no room of the others", async (t) => {
  const { log, written } = setUp(t);
  for (let i = 0; i < 12_000; i++) {
    log.record(refused({ address: `2001:db8:0:1::${i.toString(16)}` }));
    log.record(refused({ actor: 100, resource: String(i) }));
  }
  log.record(refused({ actor: 101, address: "198.51.100.7" }));
  await log.flush();
  assert.equal(written.filter(({ by }) => by.actor === 0).length, 1);
  assert.equal(written.filter(({ by }) => by.actor === 100).length, 101);
  assert.equal(written.at(-1)?.by.address, "198.51.100.7");
});

test("a flood from everywhere is bounded, and what is beyond is counted together", async (t) => {
  const { log, written, batches, state } = setUp(t);
  for (let i = 0; i < 25_000; i++) log.record(refused({ address: `2001:${i.toString(16)}::1` }));
  await log.flush();
  assert.ok(Math.max(...batches) <= 500);
  // The first entry of those that are counted together found the queue full, and is among the dropped.
  assert.equal(written.length, 10_001);
  assert.deepEqual(written.at(-1)?.action, "audit.refusals_dropped");
  state.nowMono = MINUTE_MS;
  await log.flush();
  const together = written.find(({ by, after }) => by.address === null && (after as { more?: number })?.more);
  assert.deepEqual(together?.after, { more: 14_999, within_seconds: 60 });
});

test("a database that is away costs nothing but what does not fit, and that is told", async (t) => {
  const { log, written, state } = setUp(t);
  state.down = true;
  for (let i = 0; i < 10_000; i++) log.record(refused({ actor: 100 + i }));
  await log.flush();
  state.nowMono = MINUTE_MS;
  await log.flush();
  for (let i = 0; i < 50; i++) log.record(refused({ actor: 100 + i }));
  assert.equal(written.length, 0);
  state.down = false;
  await log.flush();
  assert.equal(written.length, 10_001);
  assert.deepEqual(written.at(-1)?.after, { refusals: 50 });
  assert.equal(written.filter(({ action }) => action === "audit.refusals_dropped").length, 1);
});

test("at the end everything is written, numbers too", async (t) => {
  const { log, written } = setUp(t);
  for (let i = 0; i < 3; i++) log.record(refused());
  await log.close();
  assert.deepEqual(
    written.map(({ after }) => after),
    [undefined, { more: 2, within_seconds: 60 }],
  );
});
