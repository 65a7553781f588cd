/**
 * A small world of people, groups, projects and things that are made once, and random graphs of who has what in it. A graph
 * becomes the next one through the API, each step by somebody who may, as the model says.
 */
import type { Client } from "../../../shared/api/client.ts";
import type { Random } from "../../simulation/engine/random.ts";
import type { TestCoordinator } from "../../support/coordinator.ts";
import { createUser } from "../../support/users.ts";
import { type Edge, Model, ROOT, type Thing } from "./model.ts";

export interface World {
  /** Of each user, and of the operator. */
  clients: Map<string, Client>;
  users: string[];
  groups: string[];
  projects: string[];
  experiments: (Thing & { id: number })[];
  compute: Thing[];
  storage: Thing[];
  credentials: (Thing & { id: number })[];
}

const USERS = 5;
const GROUPS = ["g0", "g1", "g2", "g3"];
const PROJECTS = ["p0", "p1", "p2"];
const ACCESS = ["read", "write"];
const ROLES = ["owner", "operator", "submitter", "viewer"];
/** Part of the graph that is drawn anew for the next one. */
const REDRAWN = 0.09;

export async function makeWorld(at: TestCoordinator): Promise<World> {
  const users = Array.from({ length: USERS }, (_, i) => `u${i}`);
  const clients = new Map([[ROOT, at.client]]);
  for (const username of users) clients.set(username, (await createUser(at, { username })).client);
  for (const name of GROUPS) await at.client.call("createGroup", { body: { name } });
  const experiments: World["experiments"] = [];
  const compute: Thing[] = [];
  const storage: Thing[] = [];
  const credentials: World["credentials"] = [];
  for (const [i, name] of PROJECTS.entries()) {
    const params = { project: name };
    await at.client.call("createProject", { body: { name } });
    // Who submits and enters is taken out again: what he made stays.
    for (const maker of [users[i]!, users[i + 1]!, ROOT]) {
      const client = clients.get(maker)!;
      if (maker !== ROOT) await at.client.call("setProjectMember", { params, body: { user: maker, role: "operator" } });
      const { id } = await client.call("submitExperiment", { body: { spec: SPEC, project: name } });
      experiments.push({ id, name: `e${id}`, project: name, maker });
      if (maker !== users[i]) continue;
      const of = { name: `c${i}`, project: name };
      await client.call("createComputeResource", { body: { ...of, kind: "slurm", configuration: { host: "h" } } });
      compute.push({ ...of, maker });
      const secret = { type: "PASSWORD", secret: "c2VjcmV0" } as const;
      const kept = await client.call("createCredential", { body: { ...secret, name: `k${i}`, project: name } });
      credentials.push({ id: kept.id, name: `k${i}`, project: name, maker });
    }
    for (const user of users.slice(i, i + 2)) await at.client.call("removeProjectMember", { params, query: { user } });
  }
  for (const project of [null, "p1"]) {
    const name = `s${project}`;
    const body = {
      name,
      kind: "s3",
      configuration: { bucket: "b" },
      ...(project === null ? {} : { project }),
    } as const;
    await at.client.call("createStorageResource", { body });
    storage.push({ name, project, maker: ROOT });
  }
  return { clients, users, groups: GROUPS, projects: PROJECTS, experiments, compute, storage, credentials };
}

const SPEC = 'tasks: { a: { command: "true" } }';

/** Of edges that exclude each other there is one: roles, read and write. */
export type Graph = Map<string, Edge>;

export function nextGraph(world: World, before: Graph, random: Random): Graph {
  const next: Graph = new Map();
  const { users, groups, projects } = world;
  const draw = (on: string, who: string, relations: string[], probability: number): void => {
    const key = `${on} ${relations[0] === "manager" ? "manager" : ""} ${who}`;
    const kept = before.get(key);
    if (!random.chance(REDRAWN)) {
      if (kept) next.set(key, kept);
    } else if (random.chance(probability)) next.set(key, { on, who, relation: random.pick(relations) });
  };
  for (const [i, group] of groups.entries()) {
    for (const user of users) draw(group, user, ["member"], 0.2);
    for (const user of users) draw(group, user, ["manager"], 0.1);
    // In one order, so that they never go in a circle.
    for (const inner of groups.slice(i + 1)) draw(group, inner, ["member"], 0.35);
  }
  for (const project of projects) for (const who of [...users, ...groups]) draw(project, who, ROLES, 0.15);
  for (const { name } of world.experiments) for (const who of [...users, ...groups]) draw(name, who, ACCESS, 0.05);
  for (const { name, maker } of [...world.compute, ...world.storage, ...world.credentials]) {
    // Sharing with its owner gives nothing, and taking it from him takes it all.
    for (const who of [...users, ...groups]) if (who !== maker) draw(name, who, ACCESS, 0.1);
  }
  return next;
}

/** One after the other, in a random order. Returns how many there were. */
export async function bring(world: World, from: Graph, to: Graph, random: Random): Promise<number> {
  const steps: { edge: Edge; there: boolean }[] = [];
  for (const [key, edge] of from) if (!to.has(key)) steps.push({ edge, there: false });
  for (const [key, edge] of to) if (from.get(key)?.relation !== edge.relation) steps.push({ edge, there: true });
  const now = new Map(from);
  for (let left = steps.length; left > 0; left--) {
    const at = random.below(left);
    const { edge, there } = steps[at]!;
    steps[at] = steps[left - 1]!;
    const key = [...(there ? to : from)].find(([, one]) => one === edge)![0];
    const by = random.pick(whoMay(world, new Model([...now.values()]), edge, there, now.get(key)));
    await change(world, world.clients.get(by)!, edge, there);
    if (there) now.set(key, edge);
    else now.delete(key);
  }
  return steps.length;
}

function whoMay(world: World, model: Model, edge: Edge, there: boolean, held: Edge | undefined): string[] {
  const { on, relation, who } = edge;
  const all = [ROOT, ...world.users];
  if (world.groups.includes(on)) {
    // A group goes into another one by whoever sees it, and out of it by whoever manages the other.
    const mustSee = there && world.groups.includes(who);
    return all.filter((user) => model.group(user, on).manage && (!mustSee || model.group(user, who).view));
  }
  // The last owner is for an administrator to take away.
  if (world.projects.includes(on)) {
    return held?.relation === "owner" ? [ROOT] : all.filter((user) => model.rank(user, on) >= 4);
  }
  const experiment = world.experiments.find(({ name }) => name === on);
  if (experiment) return all.filter((user) => model.experiment(user, experiment).share);
  const resource = [...world.compute, ...world.storage, ...world.credentials].find(({ name }) => name === on);
  if (!resource) throw new Error(`nothing to ${relation} is called ${on}`);
  return all.filter((user) => model.resource(user, resource).manage);
}

async function change(world: World, client: Client, { on, relation, who }: Edge, there: boolean): Promise<void> {
  const name = world.groups.includes(who) ? { group: who } : { user: who };
  if (world.groups.includes(on)) {
    const request = { params: { group: on } };
    const role = relation as "member" | "manager";
    if (there) await client.call("addGroupMember", { ...request, body: { ...name, role } });
    else await client.call("removeGroupMember", { ...request, query: { ...name, role } });
    return;
  }
  if (world.projects.includes(on)) {
    const params = { project: on };
    if (there) await client.call("setProjectMember", { params, body: { ...name, role: relation as "owner" } });
    else await client.call("removeProjectMember", { params, query: name });
    return;
  }
  const body = { ...name, access: relation as "read" };
  const experiment = world.experiments.find((one) => one.name === on);
  if (experiment) {
    const params = { experiment: experiment.id };
    if (there) await client.call("shareExperiment", { params, body });
    else await client.call("unshareExperiment", { params, query: name });
    return;
  }
  const credential = world.credentials.find((one) => one.name === on);
  if (credential) {
    const params = { credential: credential.id };
    if (there) await client.call("shareCredential", { params, body });
    else await client.call("unshareCredential", { params, query: name });
    return;
  }
  const [share, unshare] = world.compute.some((one) => one.name === on)
    ? (["shareComputeResource", "unshareComputeResource"] as const)
    : (["shareStorageResource", "unshareStorageResource"] as const);
  const params = { resource: on };
  if (there) await client.call(share, { params, body });
  else await client.call(unshare, { params, query: name });
}
