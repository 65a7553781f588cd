/**
 * Draws the progress of one experiment: one line that is rewritten on a terminal, a plain line now and then elsewhere.
 * It is told states and draws at its own pace, so that a thousand events a second cost ten lines.
 */
import type { Experiment } from "../../shared/api/experiment.ts";
import { doneCount, progressLine, progressPlainLine, RateMeter } from "./progress.ts";
import type { Screen } from "./terminal.ts";

/** Redraws at most this often; also the period at which rate and remaining time go on when nothing happens. */
const DRAW_MS = 100;
const TICK_MS = 1_000;
/** In a log file: a line each ten seconds, none while nothing changed. */
const PLAIN_MS = 10_000;

export class ProgressDisplay {
  private readonly screen: Screen;
  private readonly unicode: boolean;
  private readonly meter = new RateMeter();
  private readonly ticker: NodeJS.Timeout;
  private pending: NodeJS.Timeout | undefined;
  private latest: Experiment | undefined;
  private reconnecting = false;
  private drawn = "";
  private drawnAtMs = Number.NEGATIVE_INFINITY;

  constructor(screen: Screen, unicode: boolean) {
    this.screen = screen;
    this.unicode = unicode;
    this.ticker = setInterval(() => this.draw(), screen.isTerminal ? TICK_MS : PLAIN_MS);
  }

  show(experiment: Experiment): void {
    this.latest = experiment;
    this.meter.add(doneCount(experiment.tasks), performance.now());
    this.drawSoon();
  }

  setReconnecting(reconnecting: boolean): void {
    if (reconnecting === this.reconnecting) return;
    this.reconnecting = reconnecting;
    // A short break is nobody's business in a log file; the next line tells of a long one.
    if (this.screen.isTerminal) this.drawSoon();
  }

  /** Writes a line of text above the bar. */
  say(text: string): void {
    this.erase();
    this.screen.write(`${text}\n`);
    if (this.screen.isTerminal) this.drawSoon();
  }

  /** Removes the line; nothing is drawn from here on. */
  close(): void {
    clearInterval(this.ticker);
    clearTimeout(this.pending);
    this.pending = undefined;
    this.latest = undefined;
    this.erase();
  }

  private drawSoon(): void {
    if (!this.screen.isTerminal || this.pending !== undefined) return;
    const waitMs = Math.max(0, DRAW_MS - (performance.now() - this.drawnAtMs));
    this.pending = setTimeout(() => {
      this.pending = undefined;
      this.draw();
    }, waitMs);
  }

  private draw(): void {
    if (this.latest === undefined) return;
    const now = performance.now();
    const view = {
      counts: this.latest.tasks,
      running: this.latest.running,
      state: this.latest.state,
      reconnecting: this.reconnecting,
      rate: this.meter.perSecond(now),
    };
    const { columns, paint, isTerminal } = this.screen;
    const line = isTerminal ? progressLine(view, { columns, paint, unicode: this.unicode }) : progressPlainLine(view);
    this.drawnAtMs = now;
    if (line === this.drawn) return;
    this.screen.write(isTerminal ? `\r\u001b[K${line}` : `${line}\n`);
    this.drawn = line;
  }

  private erase(): void {
    if (this.screen.isTerminal && this.drawn !== "") this.screen.write("\r\u001b[K");
    this.drawn = "";
  }
}
