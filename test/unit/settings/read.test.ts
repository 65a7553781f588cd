/**
 * Reading settings: precedence, every type with both sides of its bounds, and what the messages say.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSettings, secretValues } from "../../../shared/settings/read.ts";
import type { SettingsTable } from "../../../shared/settings/setting.ts";

const TABLE = {
  port: { flag: "--port", variable: "PORT", type: "int", default: 80, unit: "TCP port", min: 0, max: 65_535, doc: "" },
  share: {
    flag: "--share",
    variable: "SHARE",
    type: "number",
    default: undefined,
    unit: "processors",
    min: 0.1,
    doc: "",
  },
  waitMs: { flag: "--wait", variable: "WAIT", type: "duration", default: 20_000, min: 1_000, max: 60_000, doc: "" },
  bodyBytes: { flag: "--body", variable: "BODY", type: "bytes", default: 1024, max: 1024 ** 2, doc: "" },
  level: { flag: "--level", variable: "LEVEL", type: "string", default: "info", choices: ["info", "debug"], doc: "" },
  open: { flag: "--open", variable: "OPEN", type: "bool", default: false, doc: "" },
  labels: { flag: "--labels", variable: "LABELS", type: "list", default: [], pairs: true, doc: "" },
  token: { flag: "--token-file", variable: "TOKEN", type: "string", default: undefined, secret: true, doc: "" },
} as const satisfies SettingsTable;

const fromEnv = (env: Record<string, string>) => readSettings(TABLE, { env }).values;

test("defaults stand where nothing is given, and an empty variable is nothing", () => {
  const { values, origin } = readSettings(TABLE, { env: { PORT: "" } });
  assert.equal(values.port, 80);
  assert.equal(values.share, undefined);
  assert.deepEqual(values.labels, []);
  assert.equal(origin.port, "default");
});

test("a flag beats the environment, the environment the file", () => {
  const file = { path: "c.yaml", content: { port: 3, wait: "3s", level: "debug" } };
  const { values, origin } = readSettings(TABLE, { flags: { port: "1" }, env: { PORT: "2", WAIT: "2s" }, file });
  assert.deepEqual([values.port, values.waitMs, values.level], [1, 2_000, "debug"]);
  assert.deepEqual([origin.port, origin.waitMs, origin.level], ["flag", "environment", "file"]);
});

test("every type is read from its text", () => {
  const env = { SHARE: "1.5", BODY: "64k", OPEN: "yes", LABELS: "a=b, c=d=e,," };
  const values = fromEnv(env);
  assert.deepEqual([values.share, values.bodyBytes, values.open, values.labels], [1.5, 65_536, true, ["a=b", "c=d=e"]]);
});

test("both sides of a bound", () => {
  assert.equal(fromEnv({ PORT: "65535" }).port, 65_535);
  assert.equal(fromEnv({ WAIT: "1s" }).waitMs, 1_000);
  assert.equal(fromEnv({ BODY: "1MiB" }).bodyBytes, 1024 ** 2);
});

const REFUSED: [Record<string, string>, string][] = [
  [{ PORT: "65536" }, 'PORT is "65536" but must be at most 65535'],
  [{ PORT: "-1" }, 'PORT is "-1" but must be at least 0'],
  [{ PORT: "8080x" }, 'PORT is "8080x" but must be a whole number (TCP port)'],
  [{ PORT: "1e3" }, 'PORT is "1e3" but must be a whole number (TCP port)'],
  [{ SHARE: "0.01" }, 'SHARE is "0.01" but must be at least 0.1'],
  [{ WAIT: "20" }, 'WAIT is "20" but must be a duration like 30s, 5m or 1h'],
  [{ WAIT: "999ms" }, 'WAIT is "999ms" but must be at least 1s'],
  [{ WAIT: "2m" }, 'WAIT is "2m" but must be at most 1m'],
  [{ BODY: "2MiB" }, 'BODY is "2MiB" but must be at most 1MiB'],
  [{ LEVEL: "loud" }, 'LEVEL is "loud" but must be one of info, debug'],
  [{ OPEN: "maybe" }, 'OPEN is "maybe" but must be true or false'],
  [{ LABELS: "a" }, 'LABELS is "a" but must be a list of name=value ("a" has no name or no "=")'],
];

test("a refusal names the field, the value and the bound", () => {
  for (const [env, message] of REFUSED) {
    assert.throws(() => fromEnv(env), { code: "setting_invalid", message });
  }
});

test("the file's keys have underscores, a wrong one names the nearest", () => {
  const content = (keys: object) => ({ file: { path: "c.yaml", content: keys } });
  assert.deepEqual(readSettings(TABLE, content({ labels: ["a=1", "b=2"] })).values.labels, ["a=1", "b=2"]);
  assert.throws(() => readSettings(TABLE, content({ lables: [] })), {
    code: "setting_unknown",
    message: 'c.yaml has "lables", which is not a setting; did you mean "labels"?',
  });
  assert.throws(() => readSettings(TABLE, content(["port"])), { code: "setting_invalid" });
  assert.throws(() => readSettings(TABLE, content({ port: "x" })), /^AiravataError: port in c\.yaml is "x"/);
});

test("a secret comes from a file, the environment or the configuration file, never from an argument", () => {
  const readFile = (path: string): string => (path === "/t" ? "hush\n" : assert.fail());
  assert.equal(readSettings(TABLE, { flags: { "token-file": "/t" }, readFile }).values.token, "hush");
  assert.equal(fromEnv({ TOKEN: "hush" }).token, "hush");
  assert.equal(readSettings(TABLE, { file: { path: "c", content: { token: "hush" } } }).values.token, "hush");
  const unsafe = { key: { ...TABLE.token, flag: "--key" } } as const satisfies SettingsTable;
  assert.throws(() => readSettings(unsafe, { flags: { key: "hush" } }), /--key is a secret .* set TOKEN instead/);
});

test("an unreadable secret file is named with its cause, and no message holds a secret", () => {
  const cause = new Error("ENOENT");
  const readFile = (): string => {
    throw cause;
  };
  assert.throws(() => readSettings(TABLE, { flags: { "token-file": "/none" }, readFile }), {
    message: "--token-file names /none, which cannot be read",
    cause,
  });
  const bounded = { key: { ...TABLE.token, choices: ["a"] } } as const satisfies SettingsTable;
  assert.throws(() => readSettings(bounded, { env: { TOKEN: "hush" } }), {
    message: "TOKEN is a value but must be one of a",
  });
});

test("what the logger must hide: secrets, and passwords inside of URLs", () => {
  const url = "postgres://me:p%40ss@host/db";
  assert.deepEqual(secretValues(TABLE, fromEnv({ TOKEN: url })), [url, "p%40ss", "p@ss"]);
  assert.deepEqual(secretValues(TABLE, fromEnv({ LEVEL: "debug" })), []);
});
