/**
 * Leases as they travel: the definition once per session, then only indexes, attempts and what cannot be decoded from an
 * index. A template whose inputs are large sends values per lease instead of all of them.
 */
import type { InputAxis, TemplateDefinition } from "../../shared/model/definition.ts";
import type { LeasedTemplate, LeaseGroup } from "../../shared/protocol/messages.ts";
import { decodeInputs } from "../../shared/spec/render.ts";
import type { AgentFloor, Held } from "./core.ts";
import { observedMedianMs } from "./floor/classes.ts";
import { type TemplateLedger, templateAt } from "./ledger/ledger.ts";

/** The message part for leases of one template to one session; notes that the session has the definition now. */
export function leaseGroup(
  floor: AgentFloor,
  template: TemplateLedger,
  held: Held[],
  inputsBytesMax: number,
): LeaseGroup {
  const group: LeaseGroup = {
    experiment: template.experiment.id,
    template: template.ordinal,
    indexes: held.map((entry) => entry.index),
    attempts: held.map((entry) => entry.attempt),
    medianMs: observedMedianMs((held[0] as Held).class),
  };
  const valuesPerLease = inputsBytes(template.definition) > inputsBytesMax;
  if (!floor.sent.has(template)) {
    floor.sent.add(template);
    group.leased = leasedTemplate(template, valuesPerLease);
  }
  if (valuesPerLease) group.values = group.indexes.map((index) => decodeInputs(template.definition, index));
  const parents = referencedParents(template.definition);
  if (parents.length > 0)
    group.parents = group.indexes.map((index) => parents.map((p) => attemptsOf(template, p, index)));
  return group;
}

function leasedTemplate(template: TemplateLedger, valuesPerLease: boolean): LeasedTemplate {
  const { definition } = template.experiment;
  const parentOutputs: LeasedTemplate["parentOutputs"] = {};
  for (const ordinal of referencedParents(template.definition)) {
    const outputs = templateAt(template.experiment, ordinal).definition.outputs;
    parentOutputs[ordinal] = Object.fromEntries(outputs.map((output) => [output.name, output.glob]));
  }
  return {
    experimentName: definition.name,
    project: definition.project,
    parameters: definition.parameters,
    definition: valuesPerLease ? { ...template.definition, inputs: [] } : template.definition,
    templateNames: definition.templates.map((other) => other.name),
    parentOutputs,
    valuesPerLease,
  };
}

/** Parents whose outputs are referenced, each once, in order of first reference. */
function referencedParents(definition: TemplateDefinition): number[] {
  return [...new Set(definition.references.map((reference) => reference.template))];
}

/** The attempts of a parent whose outputs count for this task. */
function attemptsOf(template: TemplateLedger, parent: number, index: number): number[] {
  const other = templateAt(template.experiment, parent);
  if (template.definition.foreach.includes(parent)) return [other.attempts[index] as number];
  return Array.from(other.attempts);
}

const sizes = new WeakMap<InputAxis[][], number>();

function inputsBytes(definition: TemplateDefinition): number {
  let size = sizes.get(definition.inputs);
  if (size === undefined) {
    size = 0;
    for (const group of definition.inputs) {
      for (const axis of group) if (axis.kind === "list") for (const value of axis.values) size += value.length + 2;
    }
    sizes.set(definition.inputs, size);
  }
  return size;
}
