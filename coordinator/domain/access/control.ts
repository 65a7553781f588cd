/**
 * Asks the engine. Questions of one moment are one round trip; an answer is remembered while no relationship changes, and
 * for some seconds at most, so that an engine that went away is noticed.
 */
import type { ObjectType } from "../../../shared/api/access.ts";
import { type ActorId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import type { ObjectRef } from "../../../shared/model/relationship.ts";
import { type AccessControl, PLATFORM } from "./access.ts";
import type { Feed, Position } from "./feed.ts";
import type { AuthorizationEngine, Question } from "./ports.ts";

/** Nobody keeps a right, or an engine that is away unnoticed, for longer by what is remembered. */
const REMEMBERED_MS = 2_000;
/** Some hundred bytes each. */
const REMEMBERED_MAX = 50_000;
/** Questions in one round trip: what the embedded engine answers in about 50 ms. */
const QUESTIONS_MAX = 50;

interface Remembered<T> {
  answer: Promise<T>;
  untilMono: number;
}

export function createAccessControl(engine: AuthorizationEngine, feed: Feed): AccessControl {
  const checks = new Memory<boolean>();
  const lookups = new Memory<ReadonlySet<string>>();
  const ask = createBatches(engine, feed);

  const allows = async (actor: ActorId, on: ObjectRef, permission: string): Promise<boolean> => {
    if (actor === SYSTEM_ACTOR) return false;
    const position = await feed.position();
    const question = { resource: on, permission, subject: subjectOf(actor) };
    return checks.recall(position.change, `${on.type}:${on.id}#${permission}@${actor}`, () => ask(question, position));
  };
  const lookup = async (actor: ActorId, type: string, permission: string): Promise<ReadonlySet<string>> => {
    if (actor === SYSTEM_ACTOR) return new Set();
    const position = await feed.position();
    return lookups.recall(position.change, `${type}#${permission}@${actor}`, async () => {
      const found = engine.lookup(type, permission, subjectOf(actor), position.revision);
      found.catch((error: unknown) => feed.distrust(error));
      return new Set(await found);
    });
  };

  return {
    allows,
    allowsExperiment: async (actor, { experiment, project, actor: submitter }, permission) => {
      const own = permission === "operate" && submitter === actor ? "submit" : permission;
      if (await allows(actor, { type: "project", id: String(project) }, own)) return true;
      return allows(actor, { type: "experiment", id: String(experiment) }, permission);
    },
    visible: async (actor, type, permission) => {
      // Who sees everything is not asked about each of it.
      if (await allows(actor, PLATFORM, seesAll(type))) return null;
      return lookup(actor, type, permission);
    },
    visibleExperiments: async (actor) => {
      if (await allows(actor, PLATFORM, seesAll("experiment"))) return null;
      const [projects, experiments] = await Promise.all([
        lookup(actor, "project", "view"),
        lookup(actor, "experiment", "view"),
      ]);
      return { projects, experiments };
    },
    settle: (change) => feed.settle(change),
    onChange: (listener) => feed.onChange(listener),
  };
}

/** The permission on the platform that the schema carries into each object of the type. */
function seesAll(type: ObjectType): string {
  const byOperators: readonly ObjectType[] = ["agent", "enrolment_token", "compute_resource", "storage_resource"];
  return byOperators.includes(type) ? "operate" : "administer";
}

function subjectOf(actor: ActorId): ObjectRef {
  return { type: "user", id: String(actor) };
}

/** Answers of one position of the feed; the next position forgets them. */
class Memory<T> {
  #change = -1;
  readonly #answers = new Map<string, Remembered<T>>();

  recall(change: number, key: string, ask: () => Promise<T>): Promise<T> {
    // A question that is slower than a change must not bring back what was true before it.
    if (change < this.#change) return ask();
    if (change > this.#change || this.#answers.size >= REMEMBERED_MAX) this.#answers.clear();
    this.#change = change;
    const known = this.#answers.get(key);
    const now = performance.now();
    if (known && known.untilMono > now) return known.answer;
    const remembered = { answer: ask(), untilMono: now + REMEMBERED_MS };
    this.#answers.set(key, remembered);
    remembered.answer.catch(() => {
      if (this.#answers.get(key) === remembered) this.#answers.delete(key);
    });
    return remembered.answer;
  }
}

/** Gathers the questions of one turn of the loop into one call. */
function createBatches(
  engine: AuthorizationEngine,
  feed: Feed,
): (question: Question, position: Position) => Promise<boolean> {
  let waiting: { question: Question; position: Position; answer: PromiseWithResolvers<boolean> }[] = [];
  const send = (): void => {
    const batch = waiting;
    waiting = [];
    for (let from = 0; from < batch.length; from += QUESTIONS_MAX) {
      const page = batch.slice(from, from + QUESTIONS_MAX);
      // The freshest of them serves all.
      const { revision } = page.reduce((a, b) => (b.position.change > a.position.change ? b : a)).position;
      engine
        .check(
          page.map(({ question }) => question),
          revision,
        )
        .then(
          (answers) => page.forEach(({ answer }, i) => void answer.resolve(answers[i] === true)),
          (error: unknown) => {
            feed.distrust(error);
            for (const { answer } of page) answer.reject(error);
          },
        );
    }
  };
  return (question, position) => {
    if (waiting.length === 0) setImmediate(send);
    const answer = Promise.withResolvers<boolean>();
    waiting.push({ question, position, answer });
    return answer.promise;
  };
}
