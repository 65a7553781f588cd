/** Token buckets, and whom the limits count as one. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { TokenBuckets } from "../../../coordinator/api/edge/buckets.ts";
import { createRateLimits } from "../../../coordinator/api/edge/rate.ts";
import { networkOf, siteOf } from "../../../coordinator/domain/network.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type ActorId, OPERATOR_ACTOR, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";

const USER = 7 as ActorId;
const far = { address: "192.0.2.1", isSecure: false, isLoopback: false, isLocal: false };
const here = { address: "127.0.0.1", isSecure: false, isLoopback: true, isLocal: true };
const asking = (url = "/api/v1/user"): IncomingMessage => ({ url }) as IncomingMessage;

test("a bucket gives a minute's worth, then evenly, and says when the next one is there", () => {
  let now = 0;
  const buckets = new TokenBuckets(60, () => now);
  for (let i = 0; i < 60; i++) assert.equal(buckets.take("a"), 0);
  assert.equal(buckets.take("a"), 1);
  now += 999;
  assert.equal(buckets.take("a"), 1);
  now += 1;
  assert.equal(buckets.take("a"), 0);
  assert.equal(buckets.take("a"), 1);
  assert.equal(buckets.take("b"), 0);
  now += 10 * 60_000;
  for (let i = 0; i < 60; i++) assert.equal(buckets.take("a"), 0);
  assert.equal(buckets.take("a"), 1);
  const slow = new TokenBuckets(10, () => now);
  for (let i = 0; i < 10; i++) assert.equal(slow.take("a"), 0);
  assert.equal(slow.take("a"), 6);
});

test("buckets are bounded: who has not asked for longest is forgotten", () => {
  const buckets = new TokenBuckets(1, () => 0, 3);
  for (const key of ["a", "b", "c"]) assert.equal(buckets.take(key), 0);
  assert.equal(buckets.take("a"), 60);
  assert.equal(buckets.take("d"), 0);
  assert.equal(buckets.size, 3);
  assert.equal(buckets.take("a"), 60);
  assert.equal(buckets.take("b"), 0);
});

test("an address of IPv6 counts by its /64, and its customer by its /48", () => {
  assert.equal(networkOf("192.0.2.1"), "192.0.2.1");
  assert.equal(networkOf("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assert.equal(networkOf("2001:db8::1"), "2001:db8:0:0::/64");
  assert.equal(networkOf("2001:db8:1:2::"), "2001:db8:1:2::/64");
  assert.equal(networkOf("2001:0DB8:0001::5:6"), "2001:db8:1:0::/64");
  assert.equal(networkOf("::1"), "0:0:0:0::/64");
  assert.equal(networkOf("64:ff9b::192.0.2.1"), "64:ff9b:0:0::/64");
  assert.equal(networkOf("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(networkOf("fe80::1%eth0"), "fe80:0:0:0::/64");
  assert.equal(siteOf("2001:db8:1:2::3"), "2001:db8:1::/48");
  assert.equal(siteOf("::ffff:192.0.2.1"), undefined);
});

test("users, addresses and agents are counted apart; the operator on this machine is not", () => {
  const limits = createRateLimits({ enabled: true, perMinute: 10, mono: () => 0 });
  const refused = (error: unknown): boolean =>
    error instanceof AiravataError && error.code === "too_many_requests" && error.data.retry_after_seconds === 6;
  for (let i = 0; i < 10; i++) limits.admitted(asking(), far, USER);
  assert.throws(() => limits.admitted(asking(), far, USER), refused);
  limits.admitted(asking(), far, 8 as ActorId);
  // The system's own number stands for whoever asks an open route: their address counts.
  for (let i = 0; i < 30; i++) limits.admitted(asking(), far, SYSTEM_ACTOR);
  for (let i = 0; i < 50; i++) limits.arrived(asking(), far);
  assert.throws(() => limits.arrived(asking(), far), { code: "too_many_requests" });
  limits.arrived(asking("/api/v1/agent/session"), far);
  limits.arrived(asking(), { ...far, address: "192.0.2.2" });

  for (let i = 0; i < 100; i++) {
    limits.arrived(asking(), here);
    limits.admitted(asking(), here, OPERATOR_ACTOR);
  }
  for (let i = 0; i < 50; i++) limits.admitted(asking(), here, SYSTEM_ACTOR);
  assert.throws(() => limits.admitted(asking(), here, SYSTEM_ACTOR), { code: "too_many_requests" });
  for (let i = 0; i < 10; i++) limits.admitted(asking(), far, OPERATOR_ACTOR);
  assert.throws(() => limits.admitted(asking(), far, OPERATOR_ACTOR), refused);
});

test("a /48 of IPv6 asks as often as sixteen addresses", () => {
  const limits = createRateLimits({ enabled: true, perMinute: 1, mono: () => 0 });
  const from = (network: number) => ({ ...far, address: `2001:db8:1:${network.toString(16)}::1` });
  // What its own network is refused is not counted for all of it.
  for (let i = 0; i < 5; i++) limits.arrived(asking(), from(0));
  for (let i = 0; i < 5; i++) assert.throws(() => limits.arrived(asking(), from(0)), { code: "too_many_requests" });
  for (let i = 0; i < 75; i++) limits.arrived(asking(), from(1 + i));
  assert.throws(() => limits.arrived(asking(), from(99)), {
    message: /the network 2001:db8:1::\/48 sent more than 80/,
  });
  limits.arrived(asking(), { ...far, address: "2001:db8:2::1" });
});

test("a fleet behind one address comes back twice within a minute", () => {
  const limits = createRateLimits({ enabled: true, perMinute: 10, mono: () => 0 });
  const session = asking("/api/v1/agent/session");
  for (let i = 0; i < 20_000; i++) limits.arrived(session, far);
  assert.throws(() => limits.arrived(session, far), { code: "too_many_requests" });
  // Their list and figures are a person's business.
  limits.arrived(asking("/api/v1/agents"), far);
});

test("switched off nothing is counted", () => {
  const limits = createRateLimits({ enabled: false, perMinute: 10 });
  for (let i = 0; i < 1_000; i++) limits.admitted(asking(), far, USER);
});
