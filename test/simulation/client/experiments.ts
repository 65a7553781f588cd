/** Small random experiments: arrays, chains, joins, with retries, failures that end them, and different needs. */
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import { experiment, type TemplatePart } from "../../unit/dispatch/definitions.ts";
import type { Random } from "../engine/random.ts";

export function randomExperiment(random: Random): ExperimentDefinition {
  const count = 1 + random.below(12);
  const retries = { max: random.below(3), on: ["exit" as const] };
  const part = (rest: TemplatePart): TemplatePart => ({
    retries,
    requires: { cpus: random.chance(0.2) ? 2 : 1 },
    ...rest,
  });
  const shapes: (() => TemplatePart[])[] = [
    () => [part({ count: count * 4 })],
    () => [part({ count }), part({ count, foreach: [0] }), part({ needs: [1] })],
    () => [part({ count }), part({ count: 2, needs: [0] })],
    () => [part({ needs: [1, 2] }), part({ count }), part({ count, foreach: [1] })],
  ];
  return experiment(random.pick(shapes)(), {
    priority: random.below(3),
    maxFailures: random.chance(0.2) ? 1 + random.below(3) : null,
    onDisconnect: random.chance(0.15) ? "wait" : "requeue",
  });
}
