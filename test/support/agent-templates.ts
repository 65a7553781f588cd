/** Templates as agents get them, for tests: one command, everything else at its smallest. */
import type { Command, OutputDefinition, TemplateDefinition } from "../../shared/model/definition.ts";
import type { Requirement } from "../../shared/model/requirement.ts";
import type { LeasedTemplate } from "../../shared/protocol/messages.ts";

export const SMALL_NEED: Requirement = {
  cpus: 1,
  memoryBytes: 1024 * 1024,
  gpus: 0,
  vramBytes: 0,
  diskBytes: 0,
  custom: {},
  labels: {},
  wallSeconds: 60,
};

export interface TemplateOptions {
  ordinal?: number;
  name?: string;
  command?: Command;
  outputs?: OutputDefinition[];
  requires?: Partial<Requirement>;
  definition?: Partial<TemplateDefinition>;
  leased?: Partial<LeasedTemplate>;
}

export function shell(text: string): Command {
  return { kind: "shell", text };
}

export function template(options: TemplateOptions = {}): LeasedTemplate {
  const { ordinal = 0, name = "work", command = { kind: "argv", argv: [["/bin/true"]] }, outputs = [] } = options;
  return {
    experimentName: "test",
    project: "default",
    parameters: {},
    definition: {
      ordinal,
      name,
      count: 1_000_000,
      inputs: [],
      command,
      outputs,
      foreach: [],
      needs: [],
      references: [],
      requires: { ...SMALL_NEED, ...options.requires },
      retries: { max: 0, on: [] },
      environment: {},
      ...options.definition,
    },
    templateNames: [name],
    parentOutputs: {},
    valuesPerLease: false,
    ...options.leased,
  };
}
