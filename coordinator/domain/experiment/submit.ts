/** Takes an experiment file in: parsed and checked here whatever the client did before, then durable, then answered. */
import { AiravataError } from "../../../shared/error/error.ts";
import { SPEC_BYTES_MAX } from "../../../shared/model/constants.ts";
import type { ActorId, ProjectId } from "../../../shared/model/ids.ts";
import type { Origin } from "../../dispatch/batch.ts";
import { findRecord, type Sources } from "./find.ts";
import { parseSpec } from "./parse.ts";
import type { ExperimentRecord } from "./record.ts";

export interface Submission {
  /** YAML text, or the same as an object. */
  spec: string | Record<string, unknown>;
  parameters: Record<string, string | number | boolean>;
  project: string | undefined;
  name: string | undefined;
  priority: number | undefined;
  specDirectory: string | undefined;
  actor: ActorId;
  origin?: Origin;
  idempotency: { key: string; bodyHash: string } | null;
  /** The number of a project that the actor may submit to. Throws `forbidden` or `project_not_found`. */
  projectOf(name: string): Promise<ProjectId>;
}

/**
 * Resolves when it is durable. Throws SpecError, `project_not_found`, `idempotency_key_reused`, `not_leading`.
 */
export async function submitExperiment(
  sources: Sources,
  submission: Submission,
): Promise<{ record: ExperimentRecord; replayed: boolean }> {
  const { actor, origin, idempotency } = submission;
  const { definition, specText } = await parse(submission);
  const project = await submission.projectOf(definition.project);
  const { experiment, replayed } = await sources.dispatcher.submit({
    project,
    actor,
    definition,
    specText,
    idempotency,
    origin,
  });
  return { record: await findRecord(sources, experiment), replayed };
}

async function parse(submission: Submission) {
  const { spec, parameters, project, name, priority, specDirectory } = submission;
  const specText = typeof spec === "string" ? spec : JSON.stringify(spec);
  const sizeBytes = Buffer.byteLength(specText);
  if (sizeBytes > SPEC_BYTES_MAX) {
    throw new AiravataError("spec_too_large", `the experiment file is larger than ${SPEC_BYTES_MAX} bytes`);
  }
  const overrides = Object.fromEntries(Object.entries(parameters).map(([key, value]) => [key, String(value)]));
  const source = typeof spec === "string" ? { text: spec } : { object: spec };
  const options = { project, name, priority, specDirectory };
  const definition = await parseSpec({ source, overrides, options }, sizeBytes);
  return { definition, specText };
}
