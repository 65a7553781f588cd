/** An engine and a table of relationships under a test's hand: direct relationships only, in memory. */
import type { AuthorizationEngine, Question } from "../../../coordinator/domain/access/ports.ts";
import type { RelationshipState, RelationshipStore } from "../../../coordinator/store/relationships.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Relationship, RelationshipChange } from "../../../shared/model/relationship.ts";

function keyOf({ resource, relation, subject }: Relationship): string {
  return `${resource.type}:${resource.id}#${relation}@${subject.type}:${subject.id}`;
}

/** A permission is held by who has the relation of that name. */
export class FakeEngine implements AuthorizationEngine {
  readonly memory: boolean;
  readonly held = new Map<string, Relationship>();
  readonly applied: string[] = [];
  readonly asked: Question[][] = [];
  away = false;
  /** Answers wait for it. */
  gate: Promise<void> = Promise.resolve();

  constructor(memory = true) {
    this.memory = memory;
  }

  async prepare(): Promise<boolean> {
    await this.answer();
    return true;
  }

  async apply(changes: readonly RelationshipChange[]): Promise<string> {
    await this.answer();
    for (const { op, relationship } of changes) {
      this.applied.push(`${op} ${keyOf(relationship)}`);
      if (op === "touch") this.held.set(keyOf(relationship), relationship);
      else this.held.delete(keyOf(relationship));
    }
    return `r${this.applied.length}`;
  }

  async check(questions: readonly Question[]): Promise<boolean[]> {
    this.asked.push([...questions]);
    const answers = questions.map(({ resource, permission, subject }) => {
      return this.held.has(keyOf({ resource, relation: permission, subject }));
    });
    await this.answer();
    return answers;
  }

  async lookup(type: string, permission: string, subject: Question["subject"]): Promise<string[]> {
    await this.answer();
    return [...this.held.values()]
      .filter(
        ({ resource, relation, subject: { id } }) =>
          resource.type === type && relation === permission && id === subject.id,
      )
      .map(({ resource }) => resource.id);
  }

  async *read(): AsyncIterable<Relationship[]> {
    await this.answer();
    yield [...this.held.values()];
  }

  async close(): Promise<void> {}

  private async answer(): Promise<void> {
    await this.gate;
    if (this.away) throw new AiravataError("authorization_unavailable", "the engine is away");
  }
}

/** The table, without a database. */
export class FakeRelationships implements RelationshipStore {
  readonly rows = new Map<string, Relationship>();
  readonly log: RelationshipChange[] = [];
  saved: Omit<RelationshipState, "head"> = { applied: 0, revision: "", engine: "" };

  async state(): Promise<RelationshipState> {
    return { head: this.log.length, ...this.saved };
  }

  async changes(after: number, limit: number) {
    return this.log.slice(after, after + limit).map((change, i) => ({ ...change, change: after + i + 1 }));
  }

  async all(): Promise<{ head: number; relationships: Relationship[] }> {
    return { head: this.log.length, relationships: [...this.rows.values()] };
  }

  async complete(): Promise<void> {}

  async applied(state: { applied: number; revision: string; engine: string }): Promise<void> {
    this.saved = state;
  }

  write(op: RelationshipChange["op"], relationship: Relationship): number {
    if (op === "touch") this.rows.set(keyOf(relationship), relationship);
    else this.rows.delete(keyOf(relationship));
    return this.log.push({ op, relationship });
  }
}

export function viewer(project: number, user: number): Relationship {
  const subject = { type: "user", id: String(user) };
  return { resource: { type: "project", id: String(project) }, relation: "view", subject };
}
