/** The runner of reconcilers: when they run, never twice at once, and not without leadership. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startReconcilers } from "../../../coordinator/background/reconcilers.ts";
import { createLogger, silentLogger } from "../../../shared/log/log.ts";

class Source {
  leading: boolean;
  private readonly listeners = new Set<(leadership: { leading: boolean }) => void>();

  constructor(leading: boolean) {
    this.leading = leading;
  }
  leadership = () => ({ leading: this.leading });
  onLeadership = (listener: (leadership: { leading: boolean }) => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  become(leading: boolean): void {
    this.leading = leading;
    for (const listener of this.listeners) listener({ leading });
  }
}

/** A reconciler whose runs end when the test says so. */
function held(periodMs = 3_600_000) {
  const runs: { signal: AbortSignal; finish: (more?: boolean) => void; fail: (error: Error) => void }[] = [];
  const reconciler = {
    name: "held",
    periodMs,
    run: (signal: AbortSignal) => {
      const { promise, resolve, reject } = Promise.withResolvers<boolean>();
      runs.push({ signal, finish: (more = false) => resolve(more), fail: reject });
      return promise;
    },
  };
  return { reconciler, runs };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("nothing runs before this process leads; the start of a term runs all", async () => {
  const source = new Source(false);
  const { reconciler, runs } = held();
  const running = startReconcilers({ reconcilers: [reconciler], source, log: silentLogger });
  running.nudge("held");
  await turn();
  assert.equal(runs.length, 0);
  source.become(true);
  source.become(true);
  assert.equal(runs.length, 1);
  runs[0]?.finish();
  await running.stop();
});

test("nudges during a run make one more run, never two at once", async () => {
  const { reconciler, runs } = held();
  const running = startReconcilers({ reconcilers: [reconciler], source: new Source(true), log: silentLogger });
  running.nudge("held");
  running.nudge("held");
  await turn();
  assert.equal(runs.length, 1);
  runs[0]?.finish();
  await turn();
  assert.equal(runs.length, 2);
  runs[1]?.finish();
  await turn();
  assert.equal(runs.length, 2);
  await running.stop();
});

test("one that has more to do runs again at once, one that has not on its period", async () => {
  const { reconciler, runs } = held(20);
  const running = startReconcilers({ reconcilers: [reconciler], source: new Source(true), log: silentLogger });
  runs[0]?.finish(true);
  await turn();
  assert.equal(runs.length, 2);
  runs[1]?.finish(false);
  await turn();
  assert.equal(runs.length, 2);
  // The timer does not keep a process alive; the test has to.
  const keep = setInterval(() => {}, 5);
  while (runs.length < 3) await turn();
  clearInterval(keep);
  runs[2]?.finish();
  await running.stop();
});

test("the end of a term aborts the run under way; a new term waits for it and runs once", async () => {
  const source = new Source(true);
  const { reconciler, runs } = held();
  const running = startReconcilers({ reconcilers: [reconciler], source, log: silentLogger });
  source.become(false);
  assert.equal(runs[0]?.signal.aborted, true);
  source.become(true);
  await turn();
  assert.equal(runs.length, 1);
  runs[0]?.finish(true);
  await turn();
  assert.equal(runs.length, 2);
  assert.equal(runs[1]?.signal.aborted, false);
  runs[1]?.finish();
  await running.stop();
});

test("stop waits for the run under way and lets nothing begin", async () => {
  const source = new Source(true);
  const { reconciler, runs } = held();
  const running = startReconcilers({ reconcilers: [reconciler], source, log: silentLogger });
  let stopped = false;
  const stopping = running.stop().then(() => {
    stopped = true;
  });
  await turn();
  assert.equal(stopped, false);
  runs[0]?.finish(true);
  await stopping;
  source.become(true);
  running.nudge("held");
  await turn();
  assert.equal(runs.length, 1);
});

test("a failure is told once per cause, and that it is over", async () => {
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => void lines.push(line) });
  const { reconciler, runs } = held();
  const running = startReconcilers({ reconcilers: [reconciler], source: new Source(true), log });
  for (const error of ["no room", "no room", "no rights"]) {
    runs.at(-1)?.fail(new Error(error));
    await turn();
    running.nudge("held");
    await turn();
  }
  runs.at(-1)?.finish();
  await running.stop();
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).msg ?? JSON.parse(line).message),
    ["held failed; it is tried again", "held failed; it is tried again", "held works again"],
  );
});
