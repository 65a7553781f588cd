/**
 * The catalogue of error codes, the code that throws them and docs/errors.md say the same.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CATALOGUE } from "../../../shared/error/catalogue.ts";
import { isTest, read, SOURCES } from "./tree.ts";

const codes = Object.keys(CATALOGUE);

test("the catalogue keeps the alphabet", () => {
  assert.deepEqual(codes, codes.toSorted());
});

test("every code is documented, and nothing else", () => {
  const documented = [...read("docs/errors.md").matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(
    codes.filter((code) => !documented.includes(code)),
    [],
    "codes without a line in docs/errors.md",
  );
  assert.deepEqual(
    documented.filter((code) => !codes.includes(code ?? "")),
    [],
    "lines in docs/errors.md without a code",
  );
  assert.deepEqual(documented, documented.toSorted());
});

test("every code is used", () => {
  const text = SOURCES.filter((path) => !isTest(path) && path !== "shared/error/catalogue.ts").map(read);
  const unused = codes.filter((code) => !text.some((source) => source.includes(`"${code}"`)));
  assert.deepEqual(unused, []);
});
