/**
 * No dead export: what a file exports is imported by another one that is no test. A value that only tests need says so in
 * its comment ("Exported for tests"). A type may stay when its own file uses it: it is part of a signature.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { importsOf, isTest, read, SOURCES, withoutComments } from "./tree.ts";

/** Started by name, by Node or by a person; their exports are for whoever starts them. */
const ENTRY_POINTS = ["scripts/test/reporter.ts"];

const MARK = "Exported for tests";
const DECLARED =
  /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(const|let|function\*?|class|interface|type|default)\s+(?:async\s+)?(?:function\*?\s+)?(\w+)/gm;
const LISTED = /^export\s+(?:type\s+)?\{([^}]*)\}(?!\s*from)/gm;

interface Export {
  file: string;
  name: string;
  isType: boolean;
  forTests: boolean;
}

test("every export is imported somewhere", () => {
  const used = usedNames();
  const dead = SOURCES.filter((file) => !ENTRY_POINTS.includes(file))
    .flatMap(exportsOf)
    .filter(({ file, name, isType, forTests }) => {
      const users = used.get(file);
      const importers = [...(users?.get(name) ?? []), ...(users?.get("*") ?? [])];
      if (importers.some((importer) => isTest(file) || forTests || !isTest(importer))) return false;
      return !(isType && mentions(file, name) > 1);
    });
  assert.deepEqual(
    dead.map(({ file, name }) => `${file}: ${name}`),
    [],
  );
});

test("every entry point in the list exists", () => {
  assert.deepEqual(
    ENTRY_POINTS.filter((file) => !SOURCES.includes(file)),
    [],
  );
});

test("only values that tests import are marked for tests", () => {
  const used = usedNames();
  const wrong = SOURCES.flatMap(exportsOf).filter(({ file, name, forTests }) => {
    if (!forTests) return false;
    const importers = [...(used.get(file)?.get(name) ?? [])];
    return importers.length === 0 || importers.some((importer) => !isTest(importer));
  });
  assert.deepEqual(
    wrong.map(({ file, name }) => `${file}: ${name}`),
    [],
  );
});

/** For each file, who imports which of its names. */
function usedNames(): Map<string, Map<string, Set<string>>> {
  const used = new Map<string, Map<string, Set<string>>>();
  for (const { from, to, names } of SOURCES.flatMap(importsOf)) {
    if (!to.endsWith(".ts")) continue;
    const users = used.get(to) ?? new Map<string, Set<string>>();
    used.set(to, users);
    for (const name of names) users.set(name, (users.get(name) ?? new Set()).add(from));
  }
  return used;
}

function exportsOf(file: string): Export[] {
  const text = read(file);
  const found: Export[] = [];
  for (const match of text.matchAll(DECLARED)) {
    const [, kind = "", word = ""] = match;
    const comment = /\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*$/.exec(text.slice(0, match.index))?.[0] ?? "";
    const name = kind === "default" ? "default" : word;
    found.push({ file, name, isType: kind === "interface" || kind === "type", forTests: comment.includes(MARK) });
  }
  for (const [, list = ""] of text.matchAll(LISTED)) {
    for (const item of list.split(",")) {
      const name = item
        .trim()
        .replace(/^type\s+/, "")
        .split(/\s+as\s+/)
        .at(-1)
        ?.trim();
      if (name) found.push({ file, name, isType: false, forTests: false });
    }
  }
  // `export const X = …` beside `export type X = …`: one name, a value.
  const values = new Set(found.filter(({ isType }) => !isType).map(({ name }) => name));
  return found.filter(({ name, isType }) => !isType || !values.has(name));
}

function mentions(file: string, name: string): number {
  return withoutComments(read(file)).match(new RegExp(`\\b${name}\\b`, "g"))?.length ?? 0;
}
