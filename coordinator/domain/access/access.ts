/** Who may do what, as the rest of the domain and the API ask it. Whatever cannot be asked is refused. */
import type { ObjectType } from "../../../shared/api/access.ts";
import type { ActorId, ExperimentId, ProjectId } from "../../../shared/model/ids.ts";
import type { ObjectRef } from "../../../shared/model/relationship.ts";

/** What never changes about an experiment. */
export interface ExperimentFacts {
  experiment: ExperimentId;
  project: ProjectId;
  /** Who submitted it. */
  actor: ActorId;
}

/** Null: all there are. */
export type Visible = ReadonlySet<string> | null;

/** Of experiments: those of projects, and those shared one by one. Null: all there are. */
export interface VisibleExperiments {
  projects: ReadonlySet<string>;
  experiments: ReadonlySet<string>;
}

export interface AccessControl {
  /** Throws `authorization_unavailable`, as all of these do. */
  allows(actor: ActorId, on: ObjectRef, permission: string): Promise<boolean>;
  allowsExperiment(actor: ActorId, facts: ExperimentFacts, permission: "view" | "operate"): Promise<boolean>;
  visible(actor: ActorId, type: ObjectType, permission: string): Promise<Visible>;
  visibleExperiments(actor: ActorId): Promise<VisibleExperiments | null>;
  /** Resolves when the change of that number is in force. */
  settle(change: number): Promise<void>;
  /** Told after relationships changed, and when the engine answers again. */
  onChange(listener: () => void): () => void;
}

export const PLATFORM: ObjectRef = { type: "platform", id: "main" };

/** For a store, whose objects are numbered. */
export function numbersOf(visible: Visible): number[] | null {
  return visible === null ? null : [...visible].map(Number);
}
