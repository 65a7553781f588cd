/** What tests of credentials share: somebody to share with, and each route of theirs asked once. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { parseDatabaseUrl } from "../../db/address.ts";
import { openConnection } from "../../db/connection.ts";
import { API_PREFIX, type RouteId } from "../../shared/api/routes.ts";

/** Removed at the test's end. */
export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "airavata-credential-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A user and a group, by their names in the database: what shares refer to. */
export async function addPeople(databaseUrl: string, user: string, group: string): Promise<void> {
  await inDatabase(databaseUrl, async (rows) => {
    const [actor] = await rows<{ actor: string }>(
      "insert into actor (kind, name) values ('user', $1) returning actor",
      [user],
    );
    await rows("insert into account (actor, username, created_by) values ($1, $2, 0)", [actor?.actor, user]);
    await rows("insert into user_group (name, created_by) values ($1, 0)", [group]);
  });
}

/** Statements of a test on the database of a coordinator. */
export async function inDatabase<T>(
  databaseUrl: string,
  work: (rows: <R extends object>(text: string, values?: unknown[]) => Promise<R[]>) => Promise<T>,
): Promise<T> {
  const connection = await openConnection(parseDatabaseUrl(databaseUrl), { name: "test of credentials" });
  try {
    return await work((text, values = []) => connection.rows(text, values, 10_000));
  } finally {
    await connection.end();
  }
}

/** Asks every route of credentials once, so that each answer can be held against its schema. */
export async function askCredentialRoutes(
  databaseUrl: string,
  call: (id: RouteId, path: string, body?: unknown) => Promise<unknown>,
): Promise<void> {
  await addPeople(databaseUrl, "carol", "chemists");
  const all = `${API_PREFIX}/credentials`;
  const secret = Buffer.from("hunter2").toString("base64");
  const made = (await call("createCredential", all, { name: "archive", type: "PASSWORD", secret })) as { id: number };
  const one = `${all}/${made.id}`;
  await call("listCredentials", `${all}?type=PASSWORD`);
  await call("getCredential", one);
  await call("changeCredential", one, { username: "alice" });
  await call("rotateCredential", `${one}/rotate`, { secret });
  await call("testCredential", `${one}/test`);
  await call("shareCredential", `${one}/share`, { group: "chemists", access: "write" });
  await call("shareCredential", `${one}/share`, { user: "carol" });
  await call("listCredentialShares", `${one}/shares`);
  await call("unshareCredential", `${one}/share?user=carol`);
  await call("createComputeResource", `${API_PREFIX}/compute-resources`, {
    name: "for-credentials",
    kind: "slurm",
    configuration: { host: "h" },
  });
  const resource = "compute_resource=for-credentials";
  await call("bindCredential", `${one}/bindings`, { compute_resource: "for-credentials" });
  await call("listCredentialBindings", `${one}/bindings`);
  await call("unbindCredential", `${one}/bindings?${resource}`);
  await call("credentialUsage", `${one}/usage`);
  await call("deleteCredential", one);
  await call("getVault", `${API_PREFIX}/vault`);
  await call("rotateVaultKey", `${API_PREFIX}/vault/rotate-key`);
}
