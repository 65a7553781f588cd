/** Tickets for WebSockets: once, for a moment, for whoever asked, and never more than so many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tickets } from "../../../coordinator/api/edge/tickets.ts";
import type { ActorId } from "../../../shared/model/ids.ts";

const ann = { actor: 7 as ActorId, via: "session 3", scopes: new Set(["read"] as const) };
const bob = { actor: 8 as ActorId, via: "token 4", scopes: null };
const refused = { code: "unauthorized", message: /opens one socket within 30 s/ };

test("a ticket is good once, for whoever asked for it", () => {
  const tickets = new Tickets(() => 0);
  const [anns, bobs] = [tickets.issue(ann), tickets.issue(bob)];
  assert.match(anns, /^[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(tickets.redeem(bobs), bob);
  assert.deepEqual(tickets.redeem(anns), ann);
  assert.throws(() => tickets.redeem(anns), refused);
  assert.throws(() => tickets.redeem(""), refused);
  assert.throws(() => tickets.redeem("x".repeat(43)), refused);
});

test("within thirty seconds, and not later", () => {
  let now = 1_000;
  const tickets = new Tickets(() => now);
  const [early, late] = [tickets.issue(ann), tickets.issue(ann)];
  now += 29_999;
  tickets.redeem(early);
  now += 1;
  assert.throws(() => tickets.redeem(late), refused);
});

test("the oldest makes room", () => {
  const tickets = new Tickets(() => 0, 2);
  const [first, second, third] = [tickets.issue(ann), tickets.issue(ann), tickets.issue(bob)];
  assert.throws(() => tickets.redeem(first), refused);
  assert.deepEqual(tickets.redeem(second), ann);
  assert.deepEqual(tickets.redeem(third), bob);
});

test("with the session in which it was asked for, or all of the actor's, it ends", () => {
  const tickets = new Tickets(() => 0);
  const issue = () => [tickets.issue(ann), tickets.issue({ ...ann, via: "session 4" }), tickets.issue(bob)] as const;
  const [third, fourth, bobs] = issue();
  tickets.end(({ actor, via }) => actor === ann.actor && via === "session 3");
  assert.throws(() => tickets.redeem(third), refused);
  assert.equal(tickets.redeem(fourth).via, "session 4");
  assert.deepEqual(tickets.redeem(bobs), bob);
  const again = issue();
  tickets.end(({ actor }) => actor === ann.actor);
  for (const ticket of again.slice(0, 2)) assert.throws(() => tickets.redeem(ticket), refused);
  assert.deepEqual(tickets.redeem(again[2]), bob);
});
