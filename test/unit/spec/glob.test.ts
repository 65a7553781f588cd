/** Output globs: what they match, what is refused, and that their work is bounded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGlob } from "../../../shared/spec/glob.ts";

function matches(pattern: string, path: string): boolean {
  const glob = parseGlob(pattern);
  assert.ok(!("message" in glob), `${pattern}: ${"message" in glob ? glob.message : ""}`);
  return glob.matches(path);
}

test("globs match as a shell's do", () => {
  const yes: [string, string][] = [
    ["score.txt", "score.txt"],
    ["./score.txt", "score.txt"],
    ["*.txt", "a.txt"],
    ["a/*.txt", "a/b.txt"],
    ["?.log", "é.log"],
    ["[a-c]x", "bx"],
    ["[!a-c]x", "dx"],
    ["[]]", "]"],
    ["[a-]", "-"],
    ["\\*", "*"],
    ["**", "a/b/c"],
    ["**", "a"],
    ["**/x", "x"],
    ["**/x", "a/b/x"],
    ["a/**/x", "a/x"],
    ["a/**/x", "a/b/c/x"],
    ["a/**", "a/b"],
    ["*", "a"],
    ["a**b", "axxb"],
    [".*", ".hidden"],
    ["**/.x", "a/.x"],
    ["**/*.txt", "b.txt"],
    ["a*b*c", "aXbYc"],
    ["[\u{1f600}-\u{1f610}]", "\u{1f605}"],
    ["*a", "aaaa"],
    ["**/a/**/b", "a/a/x/a/b"],
  ];
  for (const [pattern, path] of yes) assert.ok(matches(pattern, path), `${pattern} matches ${path}`);
  const no: [string, string][] = [
    ["score.txt", "score.txt2"],
    ["*.txt", "a/b.txt"],
    ["*", ".hidden"],
    ["?", ".x"],
    ["?", "/"],
    ["[!a]", "/"],
    ["**", ".git/x"],
    ["a/**", "a"],
    ["**/x", "ax"],
    ["a/**/x", "ax"],
    ["*.x", ".x"],
    ["[.]x", ".x"],
    ["a*b", "a/b"],
    ["\\*", "a"],
    ["*", ""],
    ["**", "a/"],
    ["*", "a/"],
    ["**/*", "a/.b"],
  ];
  for (const [pattern, path] of no) assert.ok(!matches(pattern, path), `${pattern} does not match ${path}`);
});

test("a glob without wildcards is one path", () => {
  const literal = (pattern: string): string | null => {
    const glob = parseGlob(pattern);
    return "message" in glob ? "refused" : glob.literal;
  };
  assert.equal(literal("./a/b.txt"), "a/b.txt");
  assert.equal(literal("a\\[1\\].txt"), "a[1].txt");
  assert.equal(literal("a?"), null);
  assert.equal(literal("**"), null);
});

test("globs that could leave the directory or mean nothing are refused", () => {
  for (const pattern of [
    "",
    "/a",
    "../a",
    "a/../b",
    "a//b",
    "a/",
    "[a",
    "[b-a]",
    "[[:alpha:]]",
    "a\\",
    "a\nb",
    "a/./b",
    "..",
    "./",
  ]) {
    assert.ok("message" in parseGlob(pattern), JSON.stringify(pattern));
  }
});

test("matching visits each token at most once per character", () => {
  // What makes backtracking matchers take 2^n steps or n^5; counted by reads of the path, not by a clock.
  const path = "a".repeat(4_000);
  let reads = 0;
  const counted = {
    [Symbol.iterator]: function* () {
      for (const char of path) {
        reads++;
        yield char;
      }
    },
    startsWith: (s: string) => path.startsWith(s),
    endsWith: (s: string) => path.endsWith(s),
  };
  const glob = parseGlob(`${"*a".repeat(500)}b`);
  assert.ok(!("message" in glob));
  assert.equal(glob.matches(counted as unknown as string), false);
  assert.equal(reads, path.length);
});
