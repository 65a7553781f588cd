import assert from "node:assert/strict";
import { test } from "node:test";
import { type ProgressView, progressLine, progressPlainLine, RateMeter } from "../../../agent/cli/progress.ts";
import { displayWidth, plain } from "../../../agent/cli/terminal.ts";

const view: ProgressView = {
  counts: { total: 10_000, waiting: 0, queued: 5778, leased: 12, completed: 4207, failed: 3, canceled: 0 },
  running: 12,
  state: "EXECUTING",
  reconnecting: false,
  rate: 853,
};
const line = (changes: Partial<ProgressView>, columns: number): string =>
  progressLine({ ...view, ...changes }, { columns, paint: plain, unicode: true });

test("at 120 columns the line says all of it", () => {
  const text = line({}, 120);
  for (const part of ["42%", "4,210/10,000 done", "12 running", "5,778 queued", "3 failed", "853/s", "ETA 7s"]) {
    assert.ok(text.includes(part), `${part} in: ${text}`);
  }
});

test("the line is never wider than the window less one, whatever the numbers", () => {
  for (let columns = 20; columns <= 200; columns += 1) {
    for (const total of [1, 999, 10_000, 10_000_000]) {
      const part = Math.floor(total / 6);
      const counts = { total, waiting: part, queued: part, leased: part, completed: part, failed: part, canceled: 0 };
      const width = displayWidth(line({ counts, rate: 12_345.6 }, columns));
      // What is done of how many always stands there, also when nothing else fits.
      assert.ok(width < Math.max(columns, 36), `${width} columns of ${columns} for ${total} tasks`);
    }
  }
});

test("what is held ahead counts as queued: done, running and queued add up", () => {
  const counts = { ...view.counts, queued: 5290, leased: 500 };
  assert.match(line({ counts, running: 4 }, 120), /4,210\/10,000 done {2}4 running {2}5,786 queued/);
  // A ghost of a lost session runs what is queued again.
  assert.match(line({ counts: view.counts, running: 20 }, 120), /12 running {2}5,778 queued/);
});

test("100% is said only when all is done", () => {
  const counts = { ...view.counts, queued: 0, leased: 1, completed: 9996, failed: 3 };
  assert.match(line({ counts }, 120), / 99%/);
  assert.match(line({ counts: { ...counts, leased: 0, completed: 9997 } }, 120), /100%.*ETA 0s/);
});

test("a lost connection stands in place of rate and remaining time", () => {
  const text = line({ reconnecting: true }, 120);
  assert.match(text, /reconnecting$/);
  assert.doesNotMatch(text, /ETA|853/);
});

test("without a rate nothing is guessed", () => {
  assert.match(line({ rate: null }, 120), /ETA -$/);
  assert.match(line({ rate: 0 }, 120), /ETA -$/);
});

test("one failure in ten thousand is seen in the bar", () => {
  const painted = progressLine(view, { columns: 120, paint: (style, text) => `<${style}:${text}>`, unicode: false });
  assert.match(painted, /<red:#>/);
});

test("the plain line has every figure", () => {
  assert.equal(progressPlainLine(view), "4,210/10,000 done, 12 running, 5,778 queued, 3 failed, 853/s, ETA 7s");
});

test("the rate is that of the last ten seconds, and starts anew after a retry", () => {
  const meter = new RateMeter();
  assert.equal(meter.perSecond(0), null);
  for (let second = 0; second <= 60; second += 1)
    meter.add(second < 40 ? second * 100 : 4000 + (second - 40) * 10, second * 1000);
  assert.equal(meter.perSecond(60_000), 10);
  meter.add(0, 61_000);
  assert.equal(meter.perSecond(61_100), null, "a count that fell back is no negative rate");
  meter.add(50, 62_000);
  assert.equal(meter.perSecond(62_000), 50);
});

test("the rate falls when nothing happens any more", () => {
  const meter = new RateMeter();
  meter.add(0, 0);
  meter.add(100, 1000);
  assert.equal(meter.perSecond(1000), 100);
  assert.equal(meter.perSecond(10_000), 10);
});
