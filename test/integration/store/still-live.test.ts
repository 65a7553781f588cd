/** Which sessions and personal tokens still open something, of many, in one question: what ran out tells nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore } from "../../../coordinator/store/store.ts";
import { startTestCoordinator } from "../../support/coordinator.ts";
import { rowsOf } from "../../support/postgres.ts";
import { createUser } from "../../support/users.ts";

test("what ran out, was revoked, or is of a disabled account is over; so is a session whose password must change", async (t) => {
  const at = await startTestCoordinator(t);
  const store = createStore(at.databaseUrl);
  at.defer(() => store.close());
  const users = [];
  for (const username of ["ada", "bob", "cem"]) users.push(await createUser(at, { username }));
  const numbers = async (table: string, column: string): Promise<number[]> =>
    (await rowsOf<{ n: string }>(at.databaseUrl, `select ${column} as n from ${table} order by 1`)).map(({ n }) =>
      Number(n),
    );
  const tokens: number[] = [];
  for (const { client } of users) {
    for (const name of ["one", "two"]) {
      tokens.push((await client.call("createToken", { body: { name, scopes: ["read"] } })).id);
    }
  }
  const all = await numbers("login_session", "session");
  const live = async () => {
    const found = await store.logins.stillLive([...all, 9_999], [...tokens, 9_999]);
    const sort = (set: Set<number>): number[] => [...set].sort((a, b) => a - b);
    return { sessions: sort(found.sessions), tokens: sort(found.tokens) };
  };
  const before = await live();
  assert.equal(before.sessions.length, 3);
  assert.deepEqual(before.tokens, tokens);
  const [ada, bob, cem] = before.sessions;
  await rowsOf(at.databaseUrl, `update login_session set expires_at = now() where session = ${ada}`);
  await rowsOf(at.databaseUrl, `update personal_token set expires_at = now() where token = ${tokens[0]}`);
  assert.deepEqual(await live(), { sessions: [bob, cem], tokens: tokens.slice(1) });
  await rowsOf(at.databaseUrl, `update personal_token set revoked_at = now() where token = ${tokens[1]}`);
  await rowsOf(at.databaseUrl, "update account set password_must_change = true where username = 'bob'");
  assert.deepEqual(await live(), { sessions: [cem], tokens: tokens.slice(2) });
  await at.client.call("disableUser", { params: { user: "cem" } });
  assert.deepEqual(await live(), { sessions: [], tokens: tokens.slice(2, 4) });
  assert.deepEqual(await store.logins.stillLive([], []), { sessions: new Set(), tokens: new Set() });
});
