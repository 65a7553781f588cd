/**
 * A person with a client: submits small experiments, repeats what was not answered with the same key, and now and then
 * decides something about one of them. What was answered with 201 it holds the system to.
 */
import type { DecisionRequest, SubmitRequest } from "../../../coordinator/dispatch/contract.ts";
import type { Reply } from "../../../coordinator/dispatch/core.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import { DEFAULT_PROJECT, type ExperimentId, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import type { Dispatcher } from "../dispatcher/dispatcher.ts";
import type { World } from "../engine/world.ts";
import type { Oracle } from "../oracle.ts";
import { randomExperiment } from "./experiments.ts";

const LATENCY_MS = [0.5, 20] as const;
/** An answer that takes longer is not waited for. */
const PATIENCE_MS = 2_000;

const DECISIONS = ["cancel", "pause", "resume", "priority", "retry", "retry"] as const;

export class Client {
  /** Experiments that were answered with 201. */
  readonly accepted = new Set<ExperimentId>();
  /** Submits that are still to be answered. */
  waiting = 0;
  private readonly world: World;
  private readonly oracle: Oracle;
  private readonly dispatchers: readonly Dispatcher[];
  private requestLast = 0;

  constructor(world: World, oracle: Oracle, dispatchers: readonly Dispatcher[]) {
    this.world = world;
    this.oracle = oracle;
    this.dispatchers = dispatchers;
  }

  submit(): void {
    const { random } = this.world;
    const definition = randomExperiment(random);
    const key = `key ${++this.requestLast}`;
    const times = random.chance(0.2) ? 2 : 1;
    this.waiting++;
    // Sometimes both at once: a person who clicks twice.
    for (let i = 0; i < times; i++) this.trySubmit(definition, key, i === 0);
  }

  private trySubmit(definition: ExperimentDefinition, key: string, counts: boolean): void {
    const submit: SubmitRequest = {
      project: DEFAULT_PROJECT,
      actor: OPERATOR_ACTOR,
      definition,
      specText: "",
      idempotency: { key, bodyHash: key },
    };
    this.ask(
      (dispatcher, answer) => dispatcher.reign?.request((request) => ({ type: "submit", request, submit }), answer),
      (reply) => {
        if (reply && "ok" in reply && reply.ok === "submitted") {
          this.world.trace("client", () => `${key} is experiment ${reply.experiment}`);
          this.checkKey(key, reply.experiment);
          if (counts) this.waiting--;
        } else this.world.after(this.world.random.between(50, 500), () => this.trySubmit(definition, key, counts));
      },
    );
  }

  private readonly answered = new Map<string, ExperimentId>();

  /** After a restore: what the backup does not hold was not accepted in this history. */
  restored(): void {
    for (const id of this.accepted) if (!this.oracle.ledger.experiments.has(id)) this.accepted.delete(id);
    for (const [key, id] of this.answered) if (!this.accepted.has(id)) this.answered.delete(key);
  }

  private checkKey(key: string, experiment: ExperimentId): void {
    const before = this.answered.get(key);
    if (before !== undefined && before !== experiment) {
      this.world.fail("one key, one experiment", `${key} was answered with ${before} and with ${experiment}`);
    }
    this.answered.set(key, experiment);
    this.accepted.add(experiment);
  }

  decide(kind?: "resume"): void {
    const { random } = this.world;
    const known = [...this.accepted];
    if (known.length === 0) return;
    const experiment = random.pick(known);
    const reason = `request ${++this.requestLast}`;
    const from = random.below(4);
    const scope: DecisionRequest["scope"] = random.chance(0.5)
      ? null
      : [{ template: 0, ranges: [[from, from + random.below(4)]] }];
    const value = random.below(7) - 3;
    this.send({ kind: kind ?? random.pick(DECISIONS), experiment, actor: OPERATOR_ACTOR, scope, reason, value });
  }

  /** Resumes what is paused, again and again until it is heard. */
  resumeAll(): void {
    for (const experiment of this.oracle.ledger.experiments.values()) {
      if (!experiment.paused || experiment.open === 0) continue;
      const reason = `request ${++this.requestLast}`;
      this.send({ kind: "resume", experiment: experiment.id, actor: OPERATOR_ACTOR, scope: null, reason, value: null });
    }
  }

  private send(decision: DecisionRequest): void {
    this.world.trace("client", () => `${decision.kind} of ${decision.experiment} ${JSON.stringify(decision.scope)}`);
    this.ask(
      (dispatcher, answer) => dispatcher.reign?.decide(decision, answer),
      (reply) => {
        if (reply && "ok" in reply) this.oracle.decisionAnswered(decision.reason);
      },
    );
  }

  /** Sends a request to one of the coordinators; exactly one answer comes, null for none in time. */
  private ask(
    put: (dispatcher: Dispatcher, answer: (reply: Reply | null) => void) => void,
    answer: (reply: Reply | null) => void,
  ): void {
    const { world } = this;
    const leading = this.dispatchers.filter(({ reign }) => reign !== null);
    const dispatcher = world.random.pick(leading.length > 0 ? leading : this.dispatchers);
    let answered = false;
    const { timeline } = this.oracle;
    const once = (reply: Reply | null): void => {
      if (answered) return;
      answered = true;
      answer(timeline === this.oracle.timeline ? reply : null);
    };
    const deliver = dispatcher.process.inlet();
    world.after(world.random.between(...LATENCY_MS), () =>
      deliver(() => put(dispatcher, (reply) => world.after(world.random.between(...LATENCY_MS), () => once(reply)))),
    );
    world.after(PATIENCE_MS, () => once(null));
  }
}
