/** Passwords: rules, PHC strings, and what a stored string may ask for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkPassword,
  checkPasswordRules,
  hashPassword,
  isOutdated,
  oneTimePassword,
  parsePhc,
} from "../../../coordinator/domain/account/password.ts";

test("a hash is right for its password alone, and never twice the same", async () => {
  const [one, other] = await Promise.all([hashPassword("horses and batteries"), hashPassword("horses and batteries")]);
  assert.notEqual(one, other);
  assert.match(one, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.equal(await checkPassword("horses and batteries", one), true);
  assert.equal(await checkPassword("horses and batterieS", one), false);
  assert.equal(await checkPassword("horses and batteries", null), false);
  assert.equal(await checkPassword("horses and batteries", "not a hash"), false);
  assert.equal(isOutdated(one), false);
  assert.equal(isOutdated(one.replace("t=2", "t=1")), true);
});

test("the same password in another normal form is the same", async () => {
  assert.equal(await checkPassword("cafe\u0301 au lait au lit", await hashPassword("caf\u00e9 au lait au lit")), true);
});

test("a string of another implementation is read", async () => {
  // The reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
  const known = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  assert.equal(await checkPassword("password", known), true);
  assert.equal(await checkPassword("Password", known), false);
});

test("what asks for more memory, passes or lanes than is ever granted is no hash", () => {
  const rest = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
  const is = (cost: string): boolean => parsePhc(`$argon2id$v=19$${cost}${rest}`) !== undefined;
  assert.ok(is("m=262144,t=16,p=4"));
  for (const cost of ["m=262145,t=2,p=1", "m=19456,t=17,p=1", "m=19456,t=2,p=5", "m=7,t=1,p=1", "m=19456,t=0,p=1"]) {
    assert.equal(is(cost), false, cost);
  }
  assert.equal(parsePhc(`$argon2i$v=19$m=19456,t=2,p=1${rest}`), undefined);
});

test("rules: twelve characters, not the username, not a pattern, none of the worst", () => {
  const refused = (password: string): boolean => {
    try {
      checkPasswordRules(password, "margaret.hamilton");
      return false;
    } catch (error) {
      assert.equal((error as { code: string }).code, "password_refused");
      return true;
    }
  };
  for (const bad of [
    "elevenchars",
    "Margaret.Hamilton",
    "margaret.hamilton1",
    "aaaabbbbaaaa",
    "Password-1234",
    "Qwertyuiop123",
  ])
    assert.ok(refused(bad), bad);
  assert.ok(refused("x".repeat(600) + "abcdefgh".repeat(60)), "too long");
  for (const good of ["twelve chars", "äöüßéèêàçñøå", "margaret.hamilton went to sea"]) assert.ok(!refused(good), good);
});

test("one-time passwords pass the rules and are never the same", () => {
  const many = new Set(Array.from({ length: 200 }, oneTimePassword));
  assert.equal(many.size, 200);
  for (const password of many) {
    assert.match(password, /^([a-km-np-z2-9]{5}-){3}[a-km-np-z2-9]{5}$/);
    checkPasswordRules(password, "ada");
  }
});
