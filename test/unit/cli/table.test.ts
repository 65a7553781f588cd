import assert from "node:assert/strict";
import { test } from "node:test";
import { renderFields, renderTable } from "../../../agent/cli/table.ts";
import { displayWidth, plain } from "../../../agent/cli/terminal.ts";

interface Row {
  id: number;
  name: string;
  note: string | null;
}
const columns = [
  { title: "ID", value: (row: Row) => row.id, align: "right" as const },
  { title: "NAME", value: (row: Row) => row.name },
  { title: "NOTE", value: (row: Row) => row.note },
];
const rows: Row[] = [
  { id: 1, name: "sweep", note: "a note of forty characters, more or less" },
  { id: 1000, name: "日本", note: null },
];

test("a table in a pipe is not cut", () => {
  assert.equal(
    renderTable(columns, rows, { columns: 0, paint: plain }, "none"),
    ["  ID  NAME   NOTE", "   1  sweep  a note of forty characters, more or less", "1000  日本   -", ""].join("\n"),
  );
});

test("on a terminal the widest text gives way and numbers stay whole", () => {
  const text = renderTable(columns, rows, { columns: 30, paint: plain }, "none");
  for (const line of text.split("\n")) assert.ok(displayWidth(line) <= 30, line);
  assert.match(text, /a note of forty …/);
  assert.match(text, /^1000 /m);
});

test("a column that may be missing goes when cutting is not enough, and the rest is whole again", () => {
  const wide = [
    ...columns,
    { title: "COUNT", value: () => "123456789012345", align: "right" as const, optional: true },
  ];
  const fits = renderTable(wide, rows, { columns: 50, paint: plain }, "none");
  assert.match(fits, /COUNT/);
  const narrow = renderTable(wide, rows, { columns: 34, paint: plain }, "none");
  assert.doesNotMatch(narrow, /COUNT/);
  assert.match(narrow, /a note of forty char/);
  for (const line of narrow.split("\n")) assert.ok(displayWidth(line) <= 34, line);
});

test("an empty table says so", () => {
  assert.equal(renderTable(columns, [], { columns: 80, paint: plain }, "No rows."), "No rows.\n");
});

test("a cell cannot leave its line or drive the terminal", () => {
  const text = renderTable(columns, [{ id: 1, name: "a\nb\u001b[2J", note: "" }], { columns: 80, paint: plain }, "");
  assert.equal(text.split("\n").length, 3);
  assert.ok(!text.includes("\u001b"));
});

test("fields are aligned and empty ones are a dash", () => {
  assert.equal(
    renderFields(
      [
        ["a", 1],
        ["long", null],
      ],
      { paint: plain },
    ),
    "a     1\nlong  -\n",
  );
});
