/** Secrets in memory: for how long, how many, and what is left of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SecretCache } from "../../../coordinator/domain/credential/cache.ts";

function cacheAt(clock: { ms: number }, max = 10): SecretCache {
  return new SecretCache({ lifeMs: 300_000, max, monoMs: () => clock.ms });
}

test("a secret is there until its time is over, counted from when it was read and not from when it was used", () => {
  const clock = { ms: 0 };
  const cache = cacheAt(clock);
  cache.set("a", Buffer.from("secret"));
  clock.ms = 299_999;
  assert.equal(String(cache.get("a")), "secret");
  clock.ms = 300_000;
  assert.equal(cache.get("a"), undefined);
  cache.clear();
});

test("copies go in and come out: whoever wipes his own changes nobody else's", () => {
  const cache = cacheAt({ ms: 0 });
  const given = Buffer.from("secret");
  cache.set("a", given);
  given.fill(0);
  cache.get("a")?.fill(0);
  assert.equal(String(cache.get("a")), "secret");
  cache.drop("a");
  assert.equal(cache.get("a"), undefined);
  cache.clear();
});

test("the oldest goes when there are too many", () => {
  const cache = cacheAt({ ms: 0 }, 2);
  for (const path of ["a", "b", "c"]) cache.set(path, Buffer.from(path));
  assert.deepEqual(
    ["a", "b", "c"].map((path) => cache.get(path)?.toString()),
    [undefined, "b", "c"],
  );
  cache.clear();
  assert.equal(cache.get("c"), undefined);
});
