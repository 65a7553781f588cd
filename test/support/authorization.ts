/**
 * Words of the tests of authorization: a small schema, relationships and questions written as SpiceDB's tools do, and
 * engines on what a test started.
 */
import { createAuthorizationEngine } from "../../coordinator/authz/engine.ts";
import type { AuthorizationEngine, Question } from "../../coordinator/domain/access/ports.ts";
import { type Logger, silentLogger } from "../../shared/log/log.ts";
import {
  type ObjectRef,
  parseRelationship,
  type Relationship,
  type RelationshipChange,
} from "../../shared/model/relationship.ts";

export const SCHEMA = `// version 1
definition user {}

definition group {
  relation member: user | group#member
}

definition project {
  relation owner: user | group#member
  relation viewer: user | group#member
  permission manage = owner
  permission view = viewer + manage
}
`;

export interface TestEngineOptions {
  endpoint?: string;
  key?: string;
  log?: Logger;
  caFile?: string;
  onForgotten?: () => void;
}

/** The embedded engine without an endpoint, else the server there, in clear unless a CA is named. */
export function openEngine(options: TestEngineOptions = {}): AuthorizationEngine {
  const { endpoint, key, caFile } = options;
  return createAuthorizationEngine(
    {
      spicedbEndpoint: endpoint,
      spicedbToken: key,
      spicedbInsecure: endpoint !== undefined && caFile === undefined,
      spicedbCaFile: caFile,
    },
    { log: options.log ?? silentLogger, onForgotten: options.onForgotten ?? (() => {}) },
  );
}

/** `project:7#viewer@group:3#member` */
function relationship(text: string): Relationship {
  const parsed = parseRelationship(text);
  if (parsed === undefined) throw new Error(`not a relationship: ${text}`);
  return parsed;
}

function text({ resource, relation, subject }: Relationship): string {
  const userset = subject.relation === undefined ? "" : `#${subject.relation}`;
  return `${resource.type}:${resource.id}#${relation}@${subject.type}:${subject.id}${userset}`;
}

export function touch(...texts: string[]): RelationshipChange[] {
  return texts.map((one) => ({ op: "touch", relationship: relationship(one) }));
}

export function remove(...texts: string[]): RelationshipChange[] {
  return texts.map((one) => ({ op: "delete", relationship: relationship(one) }));
}

/** `project:7#view@user:3` */
export function question(text: string): Question {
  const { resource, relation: permission, subject } = relationship(text);
  return { resource, permission, subject };
}

export function object(text: string): ObjectRef {
  const colon = text.indexOf(":");
  return { type: text.slice(0, colon), id: text.slice(colon + 1) };
}

/** Everything that the engine holds of objects whose id begins so, sorted. */
export async function held(engine: AuthorizationEngine, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const page of engine.read()) {
    found.push(...page.filter(({ resource }) => resource.id.startsWith(prefix)).map(text));
  }
  return found.sort();
}
