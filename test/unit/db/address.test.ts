import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDatabaseUrl } from "../../../db/address.ts";

test("an address is shown without its password", () => {
  for (const [url, display] of [
    ["postgres://u:sesame@db.example:6432/jobs", "u@db.example:6432/jobs"],
    ["postgresql://u:se%40me@db.example/jobs?sslmode=require", "u@db.example:5432/jobs"],
    ["postgresql://u:p@127.0.0.1:5432/jobs?host=%2Frun%2Fa%20b", "u@/run/a b:5432/jobs"],
    ["postgresql://u@/jobs?host=/run/postgresql", "u@/run/postgresql:5432/jobs"],
    ["postgresql:///jobs", "(no user)@localhost:5432/jobs"],
    ["postgres://u@[::1]:5433/jobs", "u@[::1]:5433/jobs"],
  ] as const) {
    assert.equal(parseDatabaseUrl(url).display, display);
  }
});

const REFUSED: [string, RegExp][] = [
  ["user:sesame@tcp(localhost:3306)/airavata", /MySQL.*PostgreSQL 15 or newer/],
  ["mysql://user:sesame@localhost/airavata", /MySQL/],
  ["mariadb://user:sesame@localhost/airavata", /MySQL/],
  ["", /must begin with postgres:\/\//],
  ["localhost:5432/airavata", /must begin with postgres:\/\//],
  ["host=localhost password=sesame", /must begin with postgres:\/\//],
  ["postgres://u:sesame@localhost", /names no database/],
  ["postgres://u:sesame@localhost/", /names no database/],
  ["postgres://u:ses/ame#@localhost:5432/d", /percent-encoded/],
];

for (const [url, sentence] of REFUSED) {
  test(`refused: ${url || "(empty)"}`, () => {
    assert.throws(
      () => parseDatabaseUrl(url),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "database_url_invalid");
        assert.match(error.message, sentence);
        assert.doesNotMatch(error.message, /sesame|ses\/ame/);
        return true;
      },
    );
  });
}
