/** Small experiment definitions for tests of the dispatch core: only what a test cares about is said. */
import type { SubmitRequest } from "../../../coordinator/dispatch/contract.ts";
import type { ExperimentDefinition, TemplateDefinition } from "../../../shared/model/definition.ts";
import { DEFAULT_PROJECT, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import type { Requirement } from "../../../shared/model/requirement.ts";

function requirement(part: Partial<Requirement> = {}): Requirement {
  return {
    cpus: 1,
    memoryBytes: 0,
    gpus: 0,
    vramBytes: 0,
    diskBytes: 0,
    custom: {},
    labels: {},
    wallSeconds: 60,
    ...part,
  };
}

export type TemplatePart = Partial<Omit<TemplateDefinition, "requires">> & { requires?: Partial<Requirement> };

export function experiment(
  templates: TemplatePart[],
  part: Partial<Omit<ExperimentDefinition, "templates">> = {},
): ExperimentDefinition {
  return {
    name: "test",
    project: "default",
    priority: 0,
    maxFailures: null,
    onDisconnect: "requeue",
    parameters: {},
    templates: templates.map((template, ordinal) => ({
      name: `t${ordinal}`,
      count: 1,
      inputs: [],
      command: { kind: "argv" as const, argv: [["true"]] },
      outputs: [],
      foreach: [],
      needs: [],
      references: [],
      retries: { max: 0, on: ["exit" as const] },
      environment: {},
      ...template,
      ordinal,
      requires: requirement(template.requires),
    })),
    ...part,
  };
}

export function submitOf(definition: ExperimentDefinition, key: string | null = null, bodyHash = "h"): SubmitRequest {
  return {
    project: DEFAULT_PROJECT,
    actor: OPERATOR_ACTOR,
    definition,
    specText: "",
    idempotency: key === null ? null : { key, bodyHash },
  };
}
