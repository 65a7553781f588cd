/** Access tokens: what is not signed by us, for us, now, is nothing. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { createAccessTokens } from "../../../coordinator/domain/account/access-token.ts";
import { signingKeys } from "../../../coordinator/domain/account/signing-key.ts";
import type { ActorId } from "../../../shared/model/ids.ts";

const KEY = "Zk3vQ8tLw1XrB6yN0pHs5mJdUc7aFgEi";
const OTHER = "q9WmTz2LxKcV4nRbS8yHdGf6PjUe1aQo";
const NOW = 1_800_000_000_000;
const claims = { actor: 117 as ActorId, session: 5 };
const at = (ms: number, current = KEY, previous: string[] = []) =>
  createAccessTokens({ current, previous }, 3_600_000, () => ms);

type Part = Record<string, unknown>;

function parts(token: string): [Part, Part, string] {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const read = (text: string): Part => JSON.parse(Buffer.from(text, "base64url").toString());
  return [read(header), read(payload), signature];
}

function sign(header: Part, payload: Part, key: string, hash = "sha256"): string {
  const encode = (part: Part): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const said = `${encode(header)}.${encode(payload)}`;
  return `${said}.${createHmac(hash, key).update(said).digest("base64url")}`;
}

test("a token says who, in which session, from when until when, and nothing else", async () => {
  const token = await at(NOW).sign(claims);
  const [header, { jti, ...payload }] = parts(token);
  assert.deepEqual(Object.keys(header).sort(), ["alg", "kid", "typ"]);
  assert.match(String(jti), /^[0-9a-f-]{36}$/);
  assert.deepEqual(payload, {
    sub: "117",
    sid: "5",
    iss: "airavata-scheduler",
    aud: "airavata-scheduler-api",
    iat: NOW / 1000,
    exp: NOW / 1000 + 3600,
  });
  assert.deepEqual(await at(NOW).verify(token), claims);
  assert.ok(!String(header.kid).includes(KEY.slice(0, 4)));
});

test("it is good to its end, both sides of it", async () => {
  const token = await at(NOW).sign(claims);
  assert.ok(await at(NOW + 3_600_000).verify(token), "clocks may differ by seconds");
  assert.equal(await at(NOW + 3_606_000).verify(token), undefined);
});

test("one that was checked before runs out as every other", async () => {
  let ms = NOW;
  const tokens = createAccessTokens({ current: KEY, previous: [] }, 3_600_000, () => ms);
  const token = await tokens.sign(claims);
  assert.deepEqual(await tokens.verify(token), claims);
  assert.deepEqual(await tokens.verify(token), claims);
  assert.equal(await tokens.verify(`${token.slice(0, -4)}AAAA`), undefined);
  ms += 3_606_000;
  assert.equal(await tokens.verify(token), undefined);
});

test("what is altered, for others, by others, or not signed is nothing", async () => {
  const tokens = at(NOW);
  const [header, payload, signature] = parts(await tokens.sign(claims));
  assert.ok(await tokens.verify(sign(header, payload, KEY)), "the hand that forges knows how");
  const { exp: _exp, ...endless } = payload;
  const { sid: _sid, ...sessionless } = payload;
  const { kid: _kid, ...nameless } = header;
  const encode = (part: Part): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const bad: Record<string, string> = {
    "another's number": `${encode(header)}.${encode({ ...payload, sub: "1" })}.${signature}`,
    "another key": sign(header, payload, OTHER),
    "no algorithm": `${encode({ ...header, alg: "none" })}.${encode(payload)}.`,
    "no algorithm, signed": sign({ ...header, alg: "none" }, payload, KEY),
    "another algorithm": sign({ ...header, alg: "HS512" }, payload, KEY, "sha512"),
    "another type": sign({ ...header, typ: "JWT" }, payload, KEY),
    "no key id": sign(nameless, payload, KEY),
    "another key id": sign({ ...header, kid: "x" }, payload, KEY),
    "another issuer": sign(header, { ...payload, iss: "somebody" }, KEY),
    "another audience": sign(header, { ...payload, aud: "something" }, KEY),
    "no end": sign(header, endless, KEY),
    "no session": sign(header, sessionless, KEY),
    "not yet": sign(header, { ...payload, nbf: NOW / 1000 + 60 }, KEY),
    "a number that is none": sign(header, { ...payload, sub: "1e3" }, KEY),
    "a critical extension": sign({ ...header, crit: ["b64"], b64: false }, payload, KEY),
    words: "no token at all",
    empty: "",
  };
  for (const [what, token] of Object.entries(bad)) assert.equal(await tokens.verify(token), undefined, what);
});

test("a key of before verifies and signs nothing; one that is gone does not", async () => {
  const old = await at(NOW, OTHER).sign(claims);
  const rotated = at(NOW, KEY, [OTHER]);
  assert.deepEqual(await rotated.verify(old), claims);
  assert.equal(await at(NOW, OTHER).verify(await rotated.sign(claims)), undefined);
  assert.equal(await at(NOW, KEY).verify(old), undefined);
});

test("weak keys are refused with a sentence, whichever they are", () => {
  const read = (jwtSecretKey: string | undefined, jwtPreviousSecretKeys?: string) =>
    signingKeys({ jwtSecretKey, jwtPreviousSecretKeys });
  assert.equal(read(undefined), undefined);
  assert.deepEqual(read(KEY, `${OTHER}, ${KEY}`), { current: KEY, previous: [OTHER, KEY] });
  const weak: [string, RegExp][] = [
    ["your-secret-key-change-this-in-production", /JWT_SECRET_KEY is one of the samples/],
    ["change-this-in-production", /has 25 bytes and must have at least 32/],
    ["a".repeat(64), /repeats itself/],
    ["abcdefgh".repeat(8), /repeats itself/],
    [KEY.slice(1), /has 31 bytes/],
  ];
  for (const [key, message] of weak) assert.throws(() => read(key), { code: "setting_invalid", message });
  assert.throws(() => read(KEY, "short"), { message: /JWT_PREVIOUS_SECRET_KEYS has 5 bytes/ });
});
