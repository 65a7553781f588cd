/** The first account: of many who find none at the same time one makes it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore } from "../../../coordinator/store/store.ts";
import { freshDatabase, rowsOf } from "../../support/postgres.ts";

test("of six who find no account at once one makes it, with its role, and the others make nothing", async (t) => {
  const database = await freshDatabase(t);
  const store = createStore(database.url);
  database.defer(() => store.close());
  const first = {
    username: "admin",
    displayName: "",
    email: null,
    password: null,
    passwordMustChange: false,
    role: "administrator" as const,
  };
  // Connections are open: otherwise the first one is done before the second one is there.
  await Promise.all(Array.from({ length: 6 }, () => store.accounts.list(0, 1)));
  const made = await Promise.all(Array.from({ length: 6 }, () => store.accounts.createFirst(first)));
  const [account, ...others] = made.filter((each) => each !== undefined);
  assert.equal(account?.role, "administrator");
  assert.deepEqual(others, []);
  assert.equal((await rowsOf(database.url, "select 1 from actor where kind = 'user'")).length, 1);
  assert.equal(await store.accounts.createFirst(first), undefined);
});
