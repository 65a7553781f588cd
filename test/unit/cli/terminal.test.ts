import assert from "node:assert/strict";
import { test } from "node:test";
import {
  displayWidth,
  fitWidth,
  mayColour,
  PrintableStream,
  printable,
  printableLine,
} from "../../../agent/cli/terminal.ts";

const HOSTILE: [what: string, given: string, shown: string][] = [
  ["colour", "\u001b[31mred\u001b[0m", "red"],
  ["cursor and erase", "a\u001b[2K\u001b[1;1Hb", "ab"],
  ["window title, ended by BEL", "a\u001b]0;evil\u0007b", "ab"],
  ["hyperlink, ended by ST", "\u001b]8;;http://x\u001b\\text\u001b]8;;\u001b\\", "text"],
  ["device control string", "a\u001bPq#0\u001b\\b", "ab"],
  ["C1 CSI in one byte", "a\u009b31mb", "a31mb"],
  ["backspace, bell, NUL, DEL", "a\b\u0007\u0000\u007fb", "ab"],
  ["carriage return that overwrites", "bad\rgood", "bad\ngood"],
  ["line end of Windows", "a\r\nb", "a\nb"],
  ["text direction", "a\u202eb\u2066c", "abc"],
  ["tab", "a\tb", "a    b"],
  ["lone escape at the end", "a\u001b", "a"],
];

for (const [what, given, shown] of HOSTILE) {
  test(`printable: ${what}`, () => assert.equal(printable(given), shown));
}

test("a stream shows the same however it is cut", () => {
  for (const [what, given] of HOSTILE) {
    for (let cut = 0; cut <= given.length; cut += 1) {
      const stream = new PrintableStream();
      const shown = stream.push(given.slice(0, cut)) + stream.push(given.slice(cut)) + stream.end();
      assert.equal(shown, printable(given), `${what}, cut at ${cut}`);
    }
  }
});

test("a stream holds back little: an escape that never ends does not swallow what follows", () => {
  const stream = new PrintableStream();
  const shown = stream.push(`\u001b]0;${"x".repeat(100_000)}`);
  assert.ok(shown.length + stream.end().length <= 100_000);
});

test("printableLine has no line end", () => assert.equal(printableLine("a\nb\r\nc"), "a b c"));

test("width counts columns, not code points", () => {
  assert.equal(displayWidth("abc"), 3);
  assert.equal(displayWidth("日本"), 4);
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(displayWidth("\u001b[31mred\u001b[0m"), 3);
});

test("fitWidth cuts with an ellipsis inside of the width", () => {
  assert.equal(fitWidth("abcdef", 6), "abcdef");
  assert.equal(fitWidth("abcdefg", 6), "abcde…");
  assert.equal(displayWidth(fitWidth("日本日本", 6)), 5);
});

test("colour only on a terminal, never with NO_COLOR, never on a dumb one", () => {
  assert.equal(mayColour(true, {}), true);
  assert.equal(mayColour(false, {}), false);
  assert.equal(mayColour(true, { NO_COLOR: "1" }), false);
  assert.equal(mayColour(true, { NO_COLOR: "" }), true);
  assert.equal(mayColour(true, { TERM: "dumb" }), false);
});
