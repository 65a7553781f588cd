/** The schema table and what is made from it: documentation, JSON Schema, the example of the documentation. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { specJsonSchema } from "../../../shared/spec/json-schema.ts";
import { keyTable } from "../../../shared/spec/key-table.ts";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { SPEC_SCHEMA } from "../../../shared/spec/schema.ts";

const documentation = readFileSync(new URL("../../../docs/experiment-file.md", import.meta.url), "utf8");

test("the key table of docs/experiment-file.md is the schema's", () => {
  const table = /<!-- keys -->\n\n([\s\S]*?)\n\n<!-- end of keys -->/.exec(documentation)?.[1];
  assert.equal(table, keyTable(), "write keyTable() between the two marks");
});

test("the example of docs/experiment-file.md parses", () => {
  const yaml = /```yaml\n([\s\S]*?)```/.exec(documentation)?.[1] ?? "";
  const { definition, files } = parseExperiment({ text: yaml }, { seed: "7" }, { specDirectory: "/specs" });
  assert.deepEqual(
    definition.templates.map((template) => [template.name, template.count]),
    [
      ["dock", 300],
      ["report", 300],
      ["summary", 1],
    ],
  );
  assert.deepEqual(
    files.map((file) => file.path),
    ["/specs/dock"],
  );
});

test("the JSON Schema has every key of the table, closed", () => {
  const schema = specJsonSchema() as {
    properties: Record<string, { properties?: object }>;
    additionalProperties: unknown;
    required: string[];
  };
  assert.deepEqual(Object.keys(schema.properties), Object.keys(SPEC_SCHEMA));
  assert.equal(schema.additionalProperties, false);
  assert.deepEqual(schema.required, ["tasks"]);
  assert.deepEqual(
    Object.keys(schema.properties.resources?.properties ?? {}),
    Object.keys(SPEC_SCHEMA.resources.is.of),
  );
  assert.deepEqual(JSON.parse(JSON.stringify(schema)), schema, "plain JSON");
});
