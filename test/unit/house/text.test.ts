/**
 * Nothing unfinished, switched off or private to one machine stands in the tree.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FILES, read } from "./tree.ts";

/** The words looked for must stand here, and Markdown may speak about them. */
const SELF = "test/unit/house/text.test.ts";
const texts = FILES.filter(
  (path) => path !== SELF && path !== "package-lock.json" && !/\.(png|gz|x64|arm64)$/.test(path),
);
const code = texts.filter((path) => !path.endsWith(".md") && path !== "LICENSE");

test("no leftover markers", () => {
  assert.deepEqual(find(code, /\b(TODO|FIXME|XXX|HACK)\b/), []);
});

test("no test is switched off or run alone", () => {
  const tests = code.filter((path) => path.startsWith("test/"));
  assert.deepEqual(find(tests, /\b(test|it|describe|suite)\.(only|skip|todo)\(|\b(only|skip|todo):\s*true\b/), []);
});

test("a test is left out only for a service that it needs", () => {
  // This folder's tests are about left-out tests.
  const tests = code.filter((path) => path.endsWith(".test.ts") && !path.startsWith("test/integration/scripts/"));
  assert.deepEqual(find(tests, /\bskip:(?!.*\bneeds\()|\bt\.skip\(/), []);
});

test("no path of one machine, no registry", () => {
  const machine = /\/work\/(main|shared|\.library)\b|\/tmp\/brief|\/home\/(?!user\b)\w+\//;
  const registry = /registry\.npmjs|registry\.yarnpkg|pypi\.org|pythonhosted|proxy\.golang|--index-url|--registry/;
  assert.deepEqual([...find(texts, machine), ...find(texts, registry)], []);
});

test("a file URL becomes a path by fileURLToPath: in a folder with a space its pathname names nothing", () => {
  const sources = code.filter((path) => path.endsWith(".ts"));
  assert.deepEqual(find(sources, /import\.meta\.url\)\.pathname/), []);
});

test("every text file ends with a newline and holds no carriage return", () => {
  const wrong = texts.filter((path) => {
    const text = read(path);
    return text !== "" && !text.includes("\0") && (!text.endsWith("\n") || text.includes("\r\n"));
  });
  assert.deepEqual(wrong, []);
});

function find(paths: readonly string[], pattern: RegExp): string[] {
  const hits: string[] = [];
  for (const path of paths) {
    read(path)
      .split("\n")
      .forEach((line, i) => {
        if (pattern.test(line)) hits.push(`${path}:${i + 1}: ${line.trim().slice(0, 100)}`);
      });
  }
  return hits;
}
