/**
 * A reporter for Node's test runner that writes one JSON line per event that counts, for `npm test` to read.
 */
import type { EventData } from "node:test";
import { inspect } from "node:util";

/** What a test file's process tells. */
export type TestLine =
  | { event: "start"; name: string }
  | { event: "left_out"; name: string; reason: string }
  | { event: "fail"; name: string; error: string }
  | { event: "summary"; counts: Counts; durationMs: number };

/** Node's own counters. */
export interface Counts {
  tests: number;
  suites: number;
  passed: number;
  failed: number;
  cancelled: number;
  skipped: number;
  todo: number;
}

type Event =
  | { type: "test:dequeue"; data: EventData.TestDequeue }
  | { type: "test:pass"; data: EventData.TestPass }
  | { type: "test:fail"; data: EventData.TestFail }
  | { type: "test:summary"; data: EventData.TestSummary };

/** Node takes a reporter as the default export of a module. */
export default async function* report(source: AsyncIterable<Event>): AsyncGenerator<string> {
  for await (const event of source) {
    const line = lineOf(event);
    if (line !== undefined) yield `${JSON.stringify(line)}\n`;
  }
}

function lineOf(event: Event): TestLine | undefined {
  switch (event.type) {
    case "test:dequeue":
      return { event: "start", name: event.data.name };
    case "test:pass":
      if (typeof event.data.skip !== "string") return undefined;
      return { event: "left_out", name: event.data.name, reason: event.data.skip };
    case "test:fail": {
      const { error } = event.data.details;
      // A suite fails because a test in it did: that one is told.
      if ((error as { failureType?: string }).failureType === "subtestsFailed") return undefined;
      return { event: "fail", name: event.data.name, error: inspect(error.cause ?? error) };
    }
    case "test:summary":
      return { event: "summary", counts: event.data.counts as unknown as Counts, durationMs: event.data.duration_ms };
  }
}
