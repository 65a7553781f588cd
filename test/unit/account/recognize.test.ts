/** Who holds a token: remembered where logins end, asked each time elsewhere, never remembered past an end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAccessTokens } from "../../../coordinator/domain/account/access-token.ts";
import { Recognition } from "../../../coordinator/domain/account/recognize.ts";
import type { LiveSession } from "../../../coordinator/store/logins.ts";
import type { LiveToken } from "../../../coordinator/store/personal-tokens.ts";
import type { ActorId } from "../../../shared/model/ids.ts";

const ADA = 117 as ActorId;
const accessTokens = createAccessTokens({ current: "Zk3vQ8tLw1XrB6yN0pHs5mJdUc7aFgEi", previous: [] }, 60_000);

function recognition() {
  const state = {
    now: 0,
    leading: true,
    asked: 0,
    session: { actor: ADA, username: "ada", passwordMustChange: false } as LiveSession | undefined,
    token: { token: 4, actor: ADA, username: "ada", scopes: ["read"], expiresAtMs: 0 } as LiveToken | undefined,
    used: [] as number[],
    /** Runs while the database is being asked, after it has read. */
    meanwhile: () => {},
  };
  const ask = async <T>(value: T): Promise<T> => {
    state.asked++;
    await Promise.resolve();
    state.meanwhile();
    return value;
  };
  const asked = new Recognition({
    logins: {
      live: () => ask(state.session),
      stillLive: async (sessions, tokens) => ({
        sessions: new Set(sessions.filter((session) => session === 5)),
        tokens: new Set(tokens.filter((token) => token === 4)),
      }),
    },
    tokens: { live: () => ask(state.token) },
    accessTokens,
    leads: () => state.leading,
    used: (token) => void state.used.push(token),
    mono: () => state.now,
  });
  return { state, recognition: asked };
}

const session = (number: number, actor = ADA) => accessTokens.sign({ actor, session: number });

test("a session is asked for once, again after a while, and each time where nobody tells of ends", async () => {
  const { state, recognition: asked } = recognition();
  const token = await session(5);
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(await asked.recognize(token), { actor: ADA, via: "session 5", scopes: null });
  }
  assert.equal(state.asked, 1);
  state.now += 30_001;
  await asked.recognize(token);
  assert.equal(state.asked, 2);
  state.leading = false;
  await asked.recognize(token);
  await asked.recognize(token);
  assert.equal(state.asked, 4);
});

test("what ended is forgotten at once: one session, all of a person, a token", async () => {
  const { state, recognition: asked } = recognition();
  const [one, other] = [await session(5), await session(6)];
  const personal = "apt_something";
  const all = () => Promise.all([one, other, personal].map((token) => asked.recognize(token)));
  assert.equal((await all()).filter(Boolean).length, 3);
  state.session = undefined;
  state.token = undefined;
  assert.equal((await all()).filter(Boolean).length, 3, "remembered");
  const over: boolean[] = [];
  asked.onEnd((isOver) => over.push(isOver({ actor: ADA, via: "session 5" }), isOver({ actor: ADA, via: "token 4" })));
  asked.forgetActor(ADA, 5);
  assert.equal(await asked.recognize(one), undefined);
  assert.ok(await asked.recognize(other));
  asked.forgetToken(4);
  assert.equal(await asked.recognize(personal), undefined);
  asked.forgetActor(ADA);
  assert.equal(await asked.recognize(other), undefined);
  assert.deepEqual(over, [true, false, false, true, true, true]);
});

test("an answer that was on its way when the session ended is not remembered, nor one of before a takeover", async () => {
  const { state, recognition: asked } = recognition();
  const token = await session(5);
  state.meanwhile = () => asked.forgetActor(ADA, 5);
  assert.ok(await asked.recognize(token), "it was read before");
  state.meanwhile = () => asked.clear();
  await asked.recognize(token);
  assert.equal(state.asked, 2);
  state.meanwhile = () => {};
  state.session = undefined;
  assert.equal(await asked.recognize(token), undefined);
});

test("a token of another person's session, and a password that must change", async () => {
  const { state, recognition: asked } = recognition();
  assert.equal(await asked.recognize(await session(5, 118 as ActorId)), undefined);
  state.session = { actor: ADA, username: "ada", passwordMustChange: true };
  asked.clear();
  assert.deepEqual(await asked.recognize(await session(5)), { actor: ADA, via: "session 5", scopes: new Set() });
  assert.equal(await asked.recognize("no.such.token"), undefined);
});

test("a personal token is limited to its scopes, and its use is told", async () => {
  const { state, recognition: asked } = recognition();
  assert.deepEqual(await asked.recognize("apt_x"), { actor: ADA, via: "token 4", scopes: new Set(["read"]) });
  await asked.recognize("apt_x");
  assert.deepEqual(state.used, [4, 4]);
});

test("which of many are over is asked at once, and the operator's token never is", async () => {
  const { recognition: asked } = recognition();
  const vias = ["operator_token", "session 5", "session 6", "token 4", "token 7", "nobody"];
  assert.deepEqual(await asked.over(vias), new Set(["session 6", "token 7"]));
});
