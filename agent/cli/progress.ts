/**
 * The one progress bar. It shows the state that the server last told, never a sum of events, so that nothing can be
 * counted twice or be missed; the rate is taken from the same states over a sliding window. Pure: time is passed in.
 */
import { formatCount, formatRate, formatShortDuration } from "./format.ts";
import { displayWidth, type Paint } from "./terminal.ts";

/** Numbers of tasks by state. */
export interface Counts {
  total: number;
  waiting: number;
  queued: number;
  leased: number;
  completed: number;
  failed: number;
  canceled: number;
}

export interface ProgressView {
  counts: Counts;
  /** Tasks that run; the other leased ones wait at their agents and are shown as queued. */
  running: number;
  state: string;
  /** Set while the connection is lost; shown in place of rate and remaining time. */
  reconnecting: boolean;
  /** Tasks per second; null while it is not known. */
  rate: number | null;
}

/** The window over which the rate is taken: long enough to be calm, short enough to follow a change. */
const RATE_WINDOW_MS = 10_000;
const BAR_WIDEST = 30;
const BAR_NARROWEST = 6;

export function doneCount(counts: Counts): number {
  return counts.completed + counts.failed + counts.canceled;
}

/** Rate of ended tasks over the last ten seconds, from states with their times. */
export class RateMeter {
  private samples: { atMs: number; done: number }[] = [];

  /** Takes the newest state; fewer done than before (a retry) starts anew. */
  add(done: number, atMs: number): void {
    const last = this.samples.at(-1);
    if (last && done < last.done) this.samples = [];
    this.samples.push({ atMs, done });
    // One sample older than the window stays, so that the window is always spanned.
    while (this.samples.length > 2 && (this.samples[1]?.atMs ?? 0) <= atMs - RATE_WINDOW_MS) this.samples.shift();
  }

  /** Tasks per second as of `nowMs`; null before two states half a second apart are known. */
  perSecond(nowMs: number): number | null {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || nowMs - first.atMs < 500) return null;
    return ((last.done - first.done) * 1000) / (nowMs - first.atMs);
  }
}

export interface BarStyle {
  /** Columns of the window; the line is one column shorter, so that no terminal wraps it. */
  columns: number;
  paint: Paint;
  unicode: boolean;
}

/** The line for a terminal, without its end. Fits the width; what matters least goes first when it is narrow. */
export function progressLine(view: ProgressView, style: BarStyle): string {
  const { counts } = view;
  const done = doneCount(counts);
  const { paint } = style;
  const share = counts.total === 0 ? 1 : done / counts.total;
  // Rounded down: 100% is said only when all is done.
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  // In order of the line; the number is the order in which they give way.
  const parts: { text: string; shown: string; rank: number }[] = [];
  const add = (text: string, rank: number, shown = text): void => void parts.push({ text, shown, rank });
  const total = formatCount(counts.total);
  add(percent, 0);
  add(`${formatCount(done).padStart(total.length)}/${total} done`, 0);
  const { running, queued } = activity(view);
  add(`${formatCount(running)} running`, 1);
  add(`${formatCount(queued)} queued`, 3);
  if (counts.failed > 0) {
    const failed = `${formatCount(counts.failed)} failed`;
    add(failed, 1, paint("red", failed));
  }
  if (counts.canceled > 0) add(`${formatCount(counts.canceled)} canceled`, 4);
  if (view.reconnecting) add("reconnecting", 1, paint("yellow", "reconnecting"));
  else if (view.state === "PAUSED") add("paused", 1, paint("yellow", "paused"));
  else {
    if (view.rate !== null && view.rate > 0) add(formatRate(view.rate), 5);
    add(`ETA ${remaining(view)}`, 2);
  }

  const room = Math.max(10, style.columns - 1);
  const width = (): number => parts.reduce((sum, part) => sum + 2 + displayWidth(part.text), 0);
  for (let rank = 5; rank > 0 && width() + BAR_NARROWEST > room; rank -= 1) {
    for (let i = parts.length - 1; i >= 0; i -= 1) {
      if (parts[i]?.rank === rank && width() + BAR_NARROWEST > room) parts.splice(i, 1);
    }
  }
  const barWidth = Math.min(BAR_WIDEST, room - width());
  const texts = parts.map((part) => part.shown).join("  ");
  return barWidth < BAR_NARROWEST ? texts : `${bar(counts, barWidth, style)}  ${texts}`;
}

/** The line for a log file: the same figures in full, no bar. */
export function progressPlainLine(view: ProgressView): string {
  const { counts } = view;
  const { running, queued } = activity(view);
  const parts = [
    `${formatCount(doneCount(counts))}/${formatCount(counts.total)} done`,
    `${formatCount(running)} running`,
    `${formatCount(queued)} queued`,
    `${formatCount(counts.failed)} failed`,
  ];
  if (counts.canceled > 0) parts.push(`${formatCount(counts.canceled)} canceled`);
  if (view.reconnecting) parts.push("reconnecting");
  else if (view.state === "PAUSED") parts.push("paused");
  else parts.push(view.rate ? formatRate(view.rate) : "-/s", `ETA ${remaining(view)}`);
  return parts.join(", ");
}

/** Done, running and queued always add up to the total. */
function activity({ counts, running }: ProgressView): { running: number; queued: number } {
  // An agent that came back from a lost connection may run what is queued again by now.
  const shown = Math.min(running, counts.leased);
  return { running: shown, queued: counts.queued + counts.waiting + counts.leased - shown };
}

function remaining(view: ProgressView): string {
  const left = view.counts.total - doneCount(view.counts);
  if (left === 0) return "0s";
  if (!view.rate) return "-";
  return formatShortDuration(left / view.rate);
}

function bar(counts: Counts, width: number, style: BarStyle): string {
  const cells = (count: number): number => (counts.total === 0 ? 0 : Math.floor((count / counts.total) * width));
  const full = counts.total === 0 ? width : cells(doneCount(counts));
  // A failure is visible from the first one on.
  const bad = counts.failed + counts.canceled;
  const red = bad === 0 ? 0 : Math.min(full, Math.max(1, cells(bad)));
  const [on, off] = style.unicode ? ["█", "░"] : ["#", "."];
  return (
    style.paint("green", on.repeat(full - red)) +
    style.paint("red", on.repeat(red)) +
    style.paint("dim", off.repeat(width - full))
  );
}
