/**
 * Flags on a command line, their help, and variables that are not supported yet.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readCoordinatorSettings } from "../../../coordinator/settings.ts";
import { parseFlags, settingsHelp } from "../../../shared/settings/flags.ts";
import type { SettingsTable } from "../../../shared/settings/setting.ts";

const TABLE = {
  port: { flag: "--port", variable: "PORT", type: "int", default: 80, unit: "TCP port", doc: "The port" },
  open: { flag: "--open", variable: "OPEN", type: "bool", default: false, doc: "Open to all" },
  labels: { flag: "--labels", variable: "LABELS", type: "list", default: [], doc: "Labels" },
} as const satisfies SettingsTable;

test("flags in every form, and words that are none", () => {
  const { flags, words } = parseFlags(TABLE, [
    "go",
    "--port",
    "1",
    "--open",
    "--labels=a",
    "--labels",
    "b",
    "--",
    "--port",
  ]);
  assert.deepEqual(flags, { port: "1", open: true, labels: ["a", "b"] });
  assert.deepEqual(words, ["go", "--port"]);
  assert.deepEqual(parseFlags(TABLE, ["--no-open"]).flags, { open: false });
  assert.deepEqual(parseFlags(TABLE, ["--open=false"]).flags, { open: "false" });
  assert.deepEqual(parseFlags(TABLE, ["--port="]).flags, { port: "" });
});

test("an unknown flag names the nearest, a flag at the end wants its value", () => {
  assert.throws(() => parseFlags(TABLE, ["--prot", "1"]), {
    code: "setting_unknown",
    message: "--prot is not an option here; did you mean --port?",
  });
  assert.throws(() => parseFlags(TABLE, ["--zzzzzzzzz"]), { message: "--zzzzzzzzz is not an option here; see --help" });
  assert.throws(() => parseFlags(TABLE, ["--port"]), { message: "--port needs a value after it" });
});

test("help has a line per setting with default and variable", () => {
  const lines = settingsHelp(TABLE).split("\n");
  assert.match(lines[0] ?? "", /^ {2}--port <int> +The port \(default 80; PORT\)$/);
  assert.match(lines[1] ?? "", /^ {2}--open +Open to all \(default false; OPEN\)$/);
  assert.match(lines[2] ?? "", /^ {2}--labels <list> +Labels \(LABELS\)$/);
});

test("a long sentence goes on below its beginning, within 100 columns", () => {
  const port = { ...TABLE.port, doc: "word ".repeat(30).trim() };
  const lines = settingsHelp({ port }).split("\n");
  assert.equal(lines.length, 3);
  for (const line of lines) assert.ok(line.length <= 100 && /^.{37}\S/.test(line), line);
});

test("a variable that is not used yet is told", () => {
  const env = { WORKER_INTERVAL: "30s", SPICEDB_ENDPOINT: "" };
  const { notices } = readCoordinatorSettings({ env });
  assert.deepEqual(
    notices.map((notice) => notice.split(":")[0]),
    ["WORKER_INTERVAL is set but not used yet"],
  );
});

test("a coordinator does not start where certificates are not verified", () => {
  for (const value of ["", "1"]) readCoordinatorSettings({ env: { NODE_TLS_REJECT_UNAUTHORIZED: value } });
  assert.throws(() => readCoordinatorSettings({ env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" } }), {
    code: "setting_invalid",
    message: /^NODE_TLS_REJECT_UNAUTHORIZED switches off .* NODE_EXTRA_CA_CERTS/,
  });
});
