/**
 * Who may do what, once more and from nothing but the words of docs/groups.md: sets and a loop, no schema, no engine. What
 * the coordinator answers is compared with this.
 */

/** `who` (a user or a group) is or has `relation` on a group, a project, an experiment or a resource. */
export interface Edge {
  on: string;
  relation: string;
  who: string;
}

/** What never changes about an experiment or a resource: its project, and who submitted or entered it. */
export interface Thing {
  name: string;
  project: string | null;
  maker: string;
}

/** Holds the operator's token. */
export const ROOT = "root";
const RANK: Record<string, number> = { viewer: 1, submitter: 2, operator: 3, owner: 4 };

export class Model {
  private readonly edges: readonly Edge[];

  constructor(edges: readonly Edge[]) {
    this.edges = edges;
  }

  /** The user, and all groups that he is in, through whatever others. */
  names(user: string): Set<string> {
    const names = new Set([user]);
    for (let before = 0; before < names.size; ) {
      before = names.size;
      for (const { on, relation, who } of this.edges) if (relation === "member" && names.has(who)) names.add(on);
    }
    return names;
  }

  private has(user: string, on: string, ...relations: string[]): boolean {
    const names = this.names(user);
    return this.edges.some((edge) => edge.on === on && relations.includes(edge.relation) && names.has(edge.who));
  }

  group(user: string, group: string): { view: boolean; manage: boolean } {
    const manage =
      user === ROOT || this.edges.some((e) => e.on === group && e.relation === "manager" && e.who === user);
    return { view: manage || this.names(user).has(group), manage };
  }

  rank(user: string, project: string | null): number {
    if (user === ROOT) return 5;
    return Math.max(0, ...Object.entries(RANK).map(([role, n]) => (project && this.has(user, project, role) ? n : 0)));
  }

  experiment(user: string, { name, project, maker }: Thing): { view: boolean; operate: boolean; share: boolean } {
    const share = this.rank(user, project) >= (maker === user ? 2 : 3);
    const operate = share || this.has(user, name, "write");
    return { view: operate || this.rank(user, project) >= 1 || this.has(user, name, "read"), operate, share };
  }

  /** As a resource, but of what its maker keeps there the project sees nothing. */
  credential(user: string, thing: Thing): { view: boolean; write: boolean; manage: boolean } {
    const { write, manage } = this.resource(user, thing);
    return { view: write || this.has(user, thing.name, "read"), write, manage };
  }

  resource(user: string, { name, project, maker }: Thing): { view: boolean; write: boolean; manage: boolean } {
    const manage = maker === user || this.rank(user, project) >= 4;
    const write = manage || this.has(user, name, "write");
    return { view: write || this.rank(user, project) >= 1 || this.has(user, name, "read"), write, manage };
  }
}
