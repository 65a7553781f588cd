/** The parsing thread: one request in, one answer out. What it cannot parse it answers, it does not die of it. */
import { parentPort } from "node:worker_threads";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { SpecError } from "../../../shared/spec/problem.ts";
import type { ParseAnswer, ParseRequest } from "./parse.ts";

parentPort?.on("message", ({ source, overrides, options }: ParseRequest) => {
  parentPort?.postMessage(answer(() => ({ definition: parseExperiment(source, overrides, options).definition })));
});

function answer(parse: () => ParseAnswer): ParseAnswer {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SpecError) return { problems: error.problems, total: error.total };
    return { failure: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
