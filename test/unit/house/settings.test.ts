/**
 * Every setting has a flag, a variable and a line in docs/settings.md with its default, and no code reads another variable.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLIENT_SETTINGS } from "../../../agent/cli/settings.ts";
import { AGENT_SETTINGS, AGENT_UNSUPPORTED } from "../../../agent/settings.ts";
import { COORDINATOR_SETTINGS, COORDINATOR_UNSUPPORTED } from "../../../coordinator/settings.ts";
import { defaultText } from "../../../shared/settings/flags.ts";
import type { Setting, SettingsTable } from "../../../shared/settings/setting.ts";
import { isTest, read, SOURCES, withoutComments } from "./tree.ts";

const TABLES: Record<string, SettingsTable> = {
  Coordinator: COORDINATOR_SETTINGS,
  Agent: AGENT_SETTINGS,
  Client: CLIENT_SETTINGS,
};

/** Variables that are no settings of ours: the system's own conventions, and what npm's scripts and tests hand on. */
const FOREIGN = [
  "HOME",
  "PATH",
  "NO_COLOR",
  "TERM",
  "CI",
  "SHELL",
  "USER",
  "LANG",
  "TMPDIR",
  "COLUMNS",
  "LC_ALL",
  "LC_CTYPE",
];

const settings = Object.values(TABLES).flatMap((table) => Object.values(table));
const documentation = read("docs/settings.md");

for (const [process, table] of Object.entries(TABLES)) {
  test(`${process}: every setting has its line in docs/settings.md, and every line its setting`, () => {
    const section = documentation.split(/^## /m).find((text) => text.startsWith(process)) ?? "";
    const lines = section.split("\n").filter((line) => line.startsWith("| `"));
    const wanted = Object.values(table).map(lineStart);
    assert.deepEqual(lines.map((line) => wanted.find((start) => line.startsWith(start)) ?? line).sort(), wanted.sort());
    for (const line of lines) assert.match(line, /\| [^|]{10,} \|$/, `no sentence: ${line}`);
  });

  test(`${process}: flags and variables are well-formed and stand once`, () => {
    const flags = Object.values(table).map((setting) => setting.flag);
    const variables = Object.values(table).map((setting) => setting.variable);
    assert.equal(new Set(flags).size, flags.length);
    assert.equal(new Set(variables).size, variables.length);
    for (const flag of flags) assert.match(flag, /^--[a-z]+(-[a-z]+)*$/);
    for (const variable of variables) assert.match(variable, /^[A-Z]+(_[A-Z]+)*$/);
  });
}

test("every setting is read: one that nothing heeds misleads who sets it", () => {
  const heeded = (room: string, name: string): boolean =>
    SOURCES.some(
      (path) => path.startsWith(room) && !path.endsWith("/settings.ts") && new RegExp(`\\b${name}\\b`).test(read(path)),
    );
  const unread = [
    ...Object.keys(COORDINATOR_SETTINGS).filter((name) => !heeded("coordinator/", name)),
    ...Object.keys(AGENT_SETTINGS).filter((name) => !heeded("agent/", name)),
    ...Object.keys(CLIENT_SETTINGS).filter((name) => !heeded("agent/cli/", name)),
  ];
  assert.deepEqual(unread, []);
});

test("every variable that is not supported yet stands in the docs", () => {
  const missing = [...Object.keys(COORDINATOR_UNSUPPORTED), ...Object.keys(AGENT_UNSUPPORTED)].filter(
    (name) => !documentation.includes(`\`${name}\``),
  );
  assert.deepEqual(missing, []);
});

test("code reads no variable that is not a setting", () => {
  const known = [...settings.map((setting) => setting.variable), ...FOREIGN];
  const wrong: string[] = [];
  for (const path of SOURCES.filter((file) => /^(coordinator|agent|db|shared|bin)\//.test(file) && !isTest(file))) {
    for (const [, name = ""] of withoutComments(read(path)).matchAll(
      /\b(?:env|environment)(?:\.|\[")([A-Z][A-Z0-9_]+)\b(?!"?\]?\s*=[^=])/g,
    )) {
      if (!known.includes(name) && !name.startsWith("XDG_")) wrong.push(`${path}: ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});

/** The cells that a line of the docs must begin with. */
function lineStart(setting: Setting): string {
  const fallback = defaultText(setting);
  return `| \`${setting.flag}\` | \`${setting.variable}\` | ${setting.type} | ${fallback === "" ? "" : `\`${fallback}\` `}|`;
}
