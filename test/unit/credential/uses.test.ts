/** Uses of secrets: gathered, counted together, written in batches, kept while the database is away, bounded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createUseRecorder } from "../../../coordinator/domain/credential/uses.ts";
import type { Use } from "../../../coordinator/store/credential-ties.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { CREDENTIAL_USES_WAITING_MAX } from "../../../shared/model/constants.ts";
import type { ActorId } from "../../../shared/model/ids.ts";

const use = (credential: number, purpose = "ssh") => {
  return { credential, number: 1, actor: 7 as ActorId, purpose, resource: null };
};

test("equal uses become one row with the time of the last one", async () => {
  const written: Use[][] = [];
  let nowMs = 1_000;
  const recorder = createUseRecorder(
    async (uses) => void written.push([...uses]),
    () => nowMs++,
    silentLogger,
  );
  recorder.add(use(1));
  recorder.add(use(2));
  recorder.add(use(1));
  recorder.add(use(1, "sftp"));
  await recorder.close();
  assert.deepEqual(
    written.map((rows) => rows.map(({ credential, purpose, times, atMs }) => [credential, purpose, times, atMs])),
    [
      [
        [1, "ssh", 2, 1_002],
        [2, "ssh", 1, 1_001],
        [1, "sftp", 1, 1_003],
      ],
    ],
  );
  await recorder.flush();
  assert.equal(written.length, 1);
});

test("what could not be written is written the next time, with what came meanwhile", async () => {
  let fails = true;
  const written: Use[] = [];
  const write = async (uses: readonly Use[]): Promise<void> => {
    if (fails) throw new Error("the database is away");
    written.push(...uses);
  };
  const recorder = createUseRecorder(write, () => 5, silentLogger);
  recorder.add(use(1));
  await recorder.flush();
  recorder.add(use(1));
  fails = false;
  await recorder.close();
  assert.deepEqual(
    written.map(({ times }) => times),
    [2],
  );
});

test("a database that stays away costs a bounded number of them", async () => {
  const written: Use[] = [];
  const recorder = createUseRecorder(
    async (uses) => void written.push(...uses),
    () => 5,
    silentLogger,
  );
  for (let i = 0; i < CREDENTIAL_USES_WAITING_MAX + 5; i++) recorder.add(use(i));
  await recorder.close();
  assert.equal(written.length, CREDENTIAL_USES_WAITING_MAX);
});
