/**
 * The logger: what a line holds, what it must never hold, and that nothing makes it throw.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AiravataError } from "../../../shared/error/error.ts";
import { createLogger, type LoggerOptions, visible } from "../../../shared/log/log.ts";

function recorded(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  return { lines, log: createLogger({ level: "debug", format: "json", write, wall: () => 0, ...options }) };
}
const parsed = (line: string | undefined) => JSON.parse(line ?? "null");

test("a JSON line has time, level, message and fields, and our names win", () => {
  const { lines, log } = recorded();
  log.with({ shard: 0 }).info("lease given", { task: "17/dock/42", level: "x" });
  assert.equal(
    lines[0],
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","message":"lease given","shard":0,"task":"17/dock/42"}\n',
  );
});

test("a text line reads like one, whatever is in it", () => {
  const { lines, log } = recorded({ format: "text" });
  log.warn("odd\nname", { name: "a b", n: 1, path: "\u001b[31mred" });
  assert.equal(lines[0], '1970-01-01T00:00:00.000Z WARN  odd\\nname name="a b" n=1 path=\\u001b[31mred\n');
});

test("lines below the level are not written", () => {
  const { lines, log } = recorded({ level: "warn" });
  log.debug("no");
  log.info("no");
  log.warn("yes");
  log.error("yes");
  assert.equal(lines.length, 2);
  const silent = recorded({ level: "silent" });
  silent.log.error("no");
  assert.deepEqual(silent.lines, []);
});

test("the chain of causes is printed; a stack only for what nobody foresaw", () => {
  const error = new AiravataError("internal", "outer", {
    cause: new Error("inner", { cause: "deepest" }),
    data: { n: 1 },
  });
  const json = recorded();
  json.log.error("failed", { error });
  const line = parsed(json.lines[0]);
  assert.deepEqual(
    line.error.chain.map((link: { message: string }) => link.message),
    ["outer", "inner", "deepest"],
  );
  assert.equal(line.error.chain[0].code, "internal");
  assert.deepEqual(line.error.data, { n: 1 });
  assert.equal(line.error.stack, undefined);

  const text = recorded({ format: "text" });
  text.log.error("failed", { error });
  text.log.error("failed", { error: new TypeError("bug") });
  assert.match(
    text.lines[0] ?? "",
    /failed\n {4}error: outer \[internal\]\n {4}caused by: inner\n {4}caused by: deepest\n$/,
  );
  assert.match(text.lines[1] ?? "", /failed\n {4}error: bug\n {4}at .*log\.test\.ts/);
});

test("secrets are hidden by name, by form and by value", () => {
  const { lines, log } = recorded({ secrets: ["sesame-open"] });
  log.info("Authorization: Bearer abcdefghijkl and sesame-open", {
    token: "t0",
    accessToken: "t1",
    nested: { client_secret: "t2", headers: { Authorization: "t3" }, list: [{ password: "t4" }] },
    url: "postgres://me:t5@host/db",
    tokens: 5,
  });
  log.error("failed", { error: new Error("no route to postgres://me:t6@host/db with sesame-open") });
  const text = lines.join("");
  assert.doesNotMatch(text, /t[0-6]"|:t[56]@|sesame|abcdefgh/);
  assert.match(text, /"url":"postgres:\/\/me:\[hidden\]@host\/db"/);
  assert.match(text, /"tokens":5/);
});

test("nothing that is logged makes it throw or grow without bound", () => {
  const { lines, log } = recorded();
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  const trap = {
    get value(): never {
      throw new Error("trap");
    },
  };
  const loop = new Error("loop");
  loop.cause = loop;
  log.info("odd", {
    cycle,
    big: 1n,
    bytes: new Uint8Array(9),
    f: () => 1,
    when: new Date(Number.NaN),
    none: undefined,
  });
  log.info("trap", { trap });
  log.info("loop", { error: loop });
  log.info("long", { items: Array.from({ length: 1_000 }, (_, i) => i) });
  assert.equal(lines.length, 4);
  assert.equal(parsed(lines[0]).big, "1");
  assert.equal(parsed(lines[0]).bytes, "[9 bytes]");
  assert.match(parsed(lines[1]).unprintable, /trap/);
  assert.equal(parsed(lines[2]).error.chain.length, 10);
  assert.equal(parsed(lines[3]).items.length, 101);
});

test("control characters become visible", () => {
  assert.equal(visible("a\tb\u0000\u009b\u2028c"), "a\\tb\\u0000\\u009b\\u2028c");
});
