/** Who guesses is slowed down; whoever has the account is not locked out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LoginThrottle } from "../../../coordinator/domain/account/throttle.ts";
import {
  LOGIN_ADDRESS_DELAY_MS_MAX,
  LOGIN_ADDRESS_FREE,
  LOGIN_FORGOTTEN_MS,
  LOGIN_PAIR_DELAY_MS_MAX,
  LOGIN_PAIR_FREE,
  LOGIN_THROTTLE_ENTRIES_MAX,
} from "../../../shared/model/constants.ts";

function throttled() {
  const clock = { now: 0 };
  const throttle = new LoginThrottle(() => clock.now);
  /** Seconds to wait; 0: it was let try. */
  const attempt = (username: string, address: string): number => {
    try {
      throttle.begin(username, address);
      return 0;
    } catch (error) {
      const { code, data } = error as { code: string; data: { retry_after_seconds: number } };
      assert.equal(code, "too_many_attempts");
      return data.retry_after_seconds;
    }
  };
  return { clock, throttle, attempt };
}

test("delays begin after the free failures, double, and stop growing; waiting ones do not count", () => {
  const { clock, attempt } = throttled();
  for (let i = 0; i < LOGIN_PAIR_FREE; i++) assert.equal(attempt("ada", "192.0.2.1"), 0);
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    const wait = attempt("ada", "192.0.2.1");
    assert.equal(attempt("ada", "192.0.2.1"), wait, "asking in between changes nothing");
    waits.push(wait);
    clock.now += wait * 1000;
    assert.equal(attempt("ada", "192.0.2.1"), 0);
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, LOGIN_PAIR_DELAY_MS_MAX / 1000]);
});

test("the same account from another address is not delayed, nor another account from the same one", () => {
  const { attempt } = throttled();
  for (let i = 0; i < LOGIN_PAIR_FREE; i++) attempt("ada", "192.0.2.1");
  assert.ok(attempt("ADA", "192.0.2.1") > 0, "small and capital letters are one account");
  assert.equal(attempt("ada", "192.0.2.2"), 0);
  assert.equal(attempt("bob", "192.0.2.1"), 0);
});

test("an address that tries many accounts waits; who logged in well from there before does not", () => {
  const { clock, throttle, attempt } = throttled();
  assert.equal(attempt("ada", "192.0.2.1"), 0);
  throttle.succeeded("ada", "192.0.2.1");
  for (let i = 0; i < LOGIN_ADDRESS_FREE; i++) assert.equal(attempt(`guess${i}`, "192.0.2.1"), 0);
  assert.ok(attempt("carl", "192.0.2.1") > 0);
  assert.equal(attempt("ada", "192.0.2.1"), 0, "his own room");
  for (let i = 0; i < 12; i++) {
    clock.now += LOGIN_ADDRESS_DELAY_MS_MAX;
    assert.equal(attempt(`more${i}`, "192.0.2.1"), 0);
    assert.ok(attempt("carl", "192.0.2.1") <= LOGIN_ADDRESS_DELAY_MS_MAX / 1000);
  }
});

test("an account of one's own does not clear what the address did to others", () => {
  const { throttle, attempt } = throttled();
  for (let i = 0; i < LOGIN_ADDRESS_FREE; i++) {
    attempt(`guess${i}`, "192.0.2.1");
    attempt("mallory", "192.0.2.1");
    throttle.succeeded("mallory", "192.0.2.1");
  }
  assert.ok(attempt("ada", "192.0.2.1") > 0);
});

test("a thousand at once are a thousand", () => {
  const { attempt } = throttled();
  const tried = Array.from({ length: 1_000 }, () => attempt("ada", "192.0.2.1")).filter((wait) => wait === 0);
  assert.equal(tried.length, LOGIN_PAIR_FREE);
});

test("a /64 of IPv6 is one address, an IPv4 written in IPv6 is itself", () => {
  const { attempt } = throttled();
  for (let i = 0; i < LOGIN_PAIR_FREE; i++) assert.equal(attempt("ada", `2001:db8:0:1::${i}`), 0);
  assert.ok(attempt("ada", "2001:0DB8::1:ffff:0:0:9") > 0);
  assert.equal(attempt("ada", "2001:db8:0:2::1"), 0);
  for (let i = 0; i < LOGIN_PAIR_FREE; i++) assert.equal(attempt("ada", "::ffff:192.0.2.7"), 0);
  assert.ok(attempt("ada", "192.0.2.7") > 0);
});

test("a /48 of IPv6 has sixteen addresses' failures; who logged in well from there goes on", () => {
  const { throttle, attempt } = throttled();
  throttle.begin("grace", "2001:db8:1:7::1");
  throttle.succeeded("grace", "2001:db8:1:7::1");
  for (let i = 0; i < 16 * LOGIN_ADDRESS_FREE; i++)
    assert.equal(attempt(`a${i}`, `2001:db8:1:${i.toString(16)}::1`), 0);
  assert.ok(attempt("ada", "2001:db8:1:ffff::1") > 0);
  assert.equal(attempt("grace", "2001:db8:1:7::1"), 0);
  assert.equal(attempt("ada", "2001:db8:2:1::1"), 0);
});

test("failures are forgotten after a while, and there is room for only so many", () => {
  const { clock, throttle, attempt } = throttled();
  for (let i = 0; i < LOGIN_PAIR_FREE; i++) attempt("ada", "192.0.2.1");
  clock.now += LOGIN_FORGOTTEN_MS + 1;
  assert.equal(attempt("ada", "192.0.2.1"), 0);
  for (let i = 0; i < 3 * LOGIN_THROTTLE_ENTRIES_MAX; i++) attempt("ada", `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  assert.ok(throttle.size <= 2 * LOGIN_THROTTLE_ENTRIES_MAX);
});
