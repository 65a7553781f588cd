/**
 * The port of authorization on the embedded engine. It is always asked for its present, which costs it no more than its
 * past. Its revisions say which engine gave them: one that died and was replaced answers nothing to whoever still believes
 * in the former one, and nobody is answered by two.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AuthorizationEngine, Question, Revision } from "../../domain/access/ports.ts";
import { gather } from "../gather.ts";
import type { EngineOptions } from "../link.ts";
import { FULLY_CONSISTENT } from "../messages.ts";
import { apply, check, lookup, QUESTIONS_MAX, readAll } from "../requests.ts";
import { prepareSchema } from "../schema.ts";
import { allOf } from "../spicedb.ts";
import { startEmbedded } from "./embedded.ts";

export function createEmbeddedEngine(options: EngineOptions): AuthorizationEngine {
  const link = startEmbedded(options);
  const ask = gather((questions: readonly Question[]) => check(link, questions, FULLY_CONSISTENT), QUESTIONS_MAX);
  /** Does it with one engine, the one that gave the revision. */
  const withOne = async <T>(revision: Revision, work: (generation: number) => Promise<T>): Promise<T> => {
    const generation = revision === "" ? link.generation() : Number(revision.split(".", 1)[0]);
    const same = (): void => {
      if (link.generation() === generation) return;
      throw new AiravataError("authorization_unavailable", `${link.where} was started anew and is to be loaded again`);
    };
    same();
    const done = await work(generation);
    same();
    return done;
  };
  return {
    memory: true,
    prepare: (schema) => withOne("", () => prepareSchema(link, schema, options.log)),
    apply: (changes) =>
      withOne("", async (generation) => {
        const token = await apply(link, changes);
        return token === "" ? "" : `${generation}.${token}`;
      }),
    check: async (questions, atLeast) => allOf(await withOne(atLeast, () => ask(questions))),
    lookup: (type, permission, subject, atLeast) =>
      withOne(atLeast, () => lookup(link, { type, permission, subject }, FULLY_CONSISTENT)),
    read: () => readAll(link),
    close: () => link.close(),
  };
}
