/**
 * The port of authorization on a SpiceDB server. It answers yes only where SpiceDB said so for that very question:
 * anything else is an error, and no call waits longer than its deadline.
 */
import type { v1 } from "@authzed/authzed-node";
import { AiravataError } from "../../shared/error/error.ts";
import type { AuthorizationEngine, Revision } from "../domain/access/ports.ts";
import { FAILED_PRECONDITION } from "./calls.ts";
import type { EngineOptions, Link } from "./link.ts";
import { atLeastAsFresh, FULLY_CONSISTENT } from "./messages.ts";
import { type Answer, apply, check, lookup, readAll } from "./requests.ts";
import { lacksSchema, prepareSchema } from "./schema.ts";

/**
 * A server answers from a past of some seconds where that is fresh enough, by that past's schema. This long after the
 * schema was looked at it is asked for its present: six times its default of 5 s, and no revision of ours tells.
 */
const NEW_SCHEMA_MS = 30_000;

export function createServerEngine(link: Link, { log, onForgotten }: EngineOptions): AuthorizationEngine {
  let presentUntilMono = 0;
  let prepared: string | undefined;
  const freshness = (revision: Revision): v1.Consistency =>
    performance.now() < presentUntilMono ? FULLY_CONSISTENT : atLeastAsFresh(revision);
  const noticing = noticeLoss(link, () => prepared, onForgotten);
  return {
    memory: false,
    prepare: async (schema) => {
      prepared = schema;
      const had = await prepareSchema(link, schema, log);
      presentUntilMono = performance.now() + NEW_SCHEMA_MS;
      return had;
    },
    apply: (changes) => noticing(apply(link, changes)),
    check: (questions, atLeast) => noticing(check(link, questions, freshness(atLeast)).then(allOf)),
    lookup: (type, permission, subject, atLeast) =>
      noticing(lookup(link, { type, permission, subject }, freshness(atLeast))),
    read: () => readAll(link),
    close: () => link.close(),
  };
}

/** All answers, or the first error among them. */
export function allOf(answers: readonly Answer[]): boolean[] {
  return answers.map((answer) => {
    if (typeof answer !== "boolean") throw answer;
    return answer;
  });
}

/**
 * A server that does not know our words may have lost its store, as one in memory does when it is started anew. It is
 * looked at after such a failure, once at a time, and its owner told; without that it would refuse for ever.
 */
function noticeLoss(link: Link, prepared: () => string | undefined, onLost: () => void) {
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    try {
      if (await lacksSchema(link, prepared())) onLost();
    } catch {
      // Away: whoever asks next is told.
    } finally {
      looking = false;
    }
  };
  return async <T>(asked: Promise<T>): Promise<T> => {
    try {
      return await asked;
    } catch (error) {
      if (error instanceof AiravataError && error.data.grpc_code === FAILED_PRECONDITION) void look();
      throw error;
    }
  };
}
