import assert from "node:assert/strict";
import { test } from "node:test";
import { gather } from "../../../coordinator/authz/gather.ts";

/** An engine whose calls end when the test says so. */
function engine(max = 1_000) {
  const calls: { questions: readonly number[]; end: (error?: Error) => void }[] = [];
  const ask = gather<number, number>(
    (questions) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error) => (error ? reject(error) : resolve(questions.map((question) => question * 10)));
        calls.push({ questions, end });
      }),
    max,
  );
  return { ask, calls };
}

/** Everything that is settled has been handed on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("an idle engine is asked at once, and what comes meanwhile goes together", async () => {
  const { ask, calls } = engine();
  const first = ask([1]);
  const [second, third] = [ask([2, 3]), ask([4])];
  assert.deepEqual(
    calls.map(({ questions }) => questions),
    [[1]],
  );
  calls[0]?.end();
  assert.deepEqual(await first, [10]);
  await settled();
  assert.deepEqual(
    calls.map(({ questions }) => questions),
    [[1], [2, 3, 4]],
  );
  calls[1]?.end();
  assert.deepEqual(await Promise.all([second, third]), [[20, 30], [40]]);
  await settled();
  assert.equal(calls.length, 2);
  void ask([5]);
  assert.equal(calls.length, 3, "idle again");
});

test("a call takes no more than its bound, unless one alone asks for more", async () => {
  const { ask, calls } = engine(3);
  void ask([1]);
  void ask([2, 3]);
  void ask([4]);
  void ask([5]);
  void ask([6, 7, 8, 9]);
  for (let i = 0; i < 4; i++) {
    calls[i]?.end();
    await settled();
  }
  assert.deepEqual(
    calls.map(({ questions }) => questions),
    [[1], [2, 3, 4], [5], [6, 7, 8, 9]],
  );
});

test("a call that fails fails for those in it, and the next is asked", async () => {
  const { ask, calls } = engine();
  const first = ask([1]);
  const both = [ask([2]), ask([3])];
  calls[0]?.end(new Error("away"));
  await assert.rejects(first, /away/);
  await settled();
  const last = ask([4]);
  calls[1]?.end(new Error("still away"));
  for (const asked of both) await assert.rejects(asked, /still away/);
  await settled();
  calls[2]?.end();
  assert.deepEqual(await last, [40]);
});

test("no questions have no answers", async () => {
  const { ask, calls } = engine();
  const none = ask([]);
  calls[0]?.end();
  assert.deepEqual(await none, []);
});
