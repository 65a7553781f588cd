/** For each route a request that would be carried out if its caller may: what it names is made anew where the call ends it. */

import type { RouteId } from "../../../../shared/api/routes.ts";
import { generateIdentityKey } from "../../../../shared/identity/identity.ts";
import { rotationOf } from "../../../support/agent-peer.ts";
import type { TestCoordinator } from "../../../support/coordinator.ts";
import { type Callers, enrol, PROJECT } from "./callers.ts";

export interface Asked {
  params?: Record<string, string | number>;
  query?: Record<string, string>;
  body?: unknown;
}

type Make = (stage: Stage) => Asked | Promise<Asked>;

export interface Stage {
  at: TestCoordinator;
  callers: Callers;
  /** Of the owner, in the project. */
  experiment: number;
  credential: number;
  entry: number;
  next(): number;
}

const SECRET = Buffer.from("a secret of the matrix").toString("base64");
const SPEC = { project: PROJECT, tasks: { a: { argv: ["/bin/true"] } } };
const HOST = { configuration: { host: "login.example" } };
const VICTIM = "victim";

/** What the project's owner made: a group with the viewer in it, resources and a credential that others may read or write. */
export async function makeStage(at: TestCoordinator, callers: Callers): Promise<Stage> {
  const { client } = callers.people.owner;
  const { id: experiment } = await client.call("submitExperiment", { body: { spec: SPEC } });
  await client.call("createGroup", { body: { name: "team" } });
  await client.call("addGroupMember", { params: { group: "team" }, body: { user: "viewer" } });
  for (const [create, share, name] of [
    ["createComputeResource", "shareComputeResource", "cluster"],
    ["createStorageResource", "shareStorageResource", "store"],
  ] as const) {
    const kind = create === "createComputeResource" ? ("slurm" as const) : ("sftp" as const);
    await client.call(create, { body: { name, kind: kind as never, project: PROJECT, ...HOST } });
    await client.call(share, { params: { resource: name }, body: { user: "submitter", access: "write" } });
  }
  const { id: credential } = await client.call("createCredential", {
    body: { name: "key", type: "TOKEN", secret: SECRET },
  });
  for (const [user, access] of [
    ["viewer", "read"],
    ["operator", "write"],
  ] as const)
    await client.call("shareCredential", { params: { credential }, body: { user, access } });
  await at.client.call("createUser", { body: { username: VICTIM } });
  const { items } = await at.client.call("listAudit", { query: { action: "project.create" } });
  const entry = items.find(({ after }) => (after as { name?: string } | null)?.name === PROJECT)?.entry ?? 1;
  let serial = 0;
  return { at, callers, experiment, credential, entry, next: () => ++serial };
}

const experiment: Make = ({ experiment }) => ({ params: { experiment } });
const task: Make = ({ experiment }) => ({ params: { task: `${experiment}.a.0` } });
const project: Make = () => ({ params: { project: PROJECT } });
const group: Make = () => ({ params: { group: "team" } });
const agent: Make = ({ callers }) => ({ params: { agent: callers.agents.agent.agent } });
const credential: Make = ({ credential }) => ({ params: { credential } });
const compute: Make = () => ({ params: { resource: "cluster" } });
const storage: Make = () => ({ params: { resource: "store" } });
const victim: Make = () => ({ params: { user: VICTIM } });
const nothing: Make = () => ({});
const withBody =
  (make: Make, body: unknown): Make =>
  async (stage) => ({ ...(await make(stage)), body });
const withQuery =
  (make: Make, query: Record<string, string>): Make =>
  async (stage) => ({ ...(await make(stage)), query });

export const REQUESTS: Record<RouteId, Make> = {
  submitExperiment: () => ({ body: { spec: SPEC } }),
  listExperiments: nothing,
  getExperiment: experiment,
  listTasks: experiment,
  cancelExperiment: withBody(experiment, {}),
  pauseExperiment: withBody(experiment, {}),
  resumeExperiment: withBody(experiment, {}),
  retryExperiment: withBody(experiment, {}),
  retireExperiment: experiment,
  listExperimentShares: experiment,
  shareExperiment: withBody(experiment, { user: VICTIM }),
  unshareExperiment: withQuery(experiment, { user: VICTIM }),
  explainExperiment: experiment,
  experimentTimeline: experiment,
  listOutputs: experiment,
  readOutput: ({ experiment }) => ({ params: { experiment, path: "a/0/x" } }),
  getTask: task,
  listAttempts: task,
  readLog: task,
  explainTask: task,
  cancelTask: withBody(task, {}),
  listProjects: nothing,
  createProject: ({ next }) => ({ body: { name: `another-${next()}` } }),
  getProject: project,
  changeProject: withBody(project, { on_removal: "pause" }),
  listProjectMembers: project,
  setProjectMember: withBody(project, { user: VICTIM, role: "viewer" }),
  removeProjectMember: withQuery(project, { user: VICTIM }),
  listGroups: nothing,
  createGroup: ({ next }) => ({ body: { name: `group-${next()}` } }),
  getGroup: group,
  changeGroup: withBody(group, { description: "ours" }),
  deleteGroup: async ({ callers, next }) => {
    const name = `gone-${next()}`;
    await callers.people.owner.client.call("createGroup", { body: { name } });
    await callers.people.owner.client.call("addGroupMember", { params: { group: name }, body: { user: "viewer" } });
    return { params: { group: name } };
  },
  listGroupMembers: group,
  addGroupMember: withBody(group, { user: VICTIM }),
  removeGroupMember: withQuery(group, { user: VICTIM }),
  listComputeResources: nothing,
  createComputeResource: ({ next }) => ({ body: { name: `c${next()}`, kind: "slurm", project: PROJECT, ...HOST } }),
  getComputeResource: compute,
  changeComputeResource: withBody(compute, { description: "ours" }),
  deleteComputeResource: async ({ callers, next }) => {
    const name = `c${next()}`;
    const body = { name, kind: "slurm" as const, project: PROJECT, ...HOST };
    await callers.people.owner.client.call("createComputeResource", { body });
    return { params: { resource: name } };
  },
  listComputeShares: compute,
  shareComputeResource: withBody(compute, { user: VICTIM }),
  unshareComputeResource: withQuery(compute, { user: VICTIM }),
  listStorageResources: nothing,
  createStorageResource: ({ next }) => ({ body: { name: `s${next()}`, kind: "sftp", project: PROJECT, ...HOST } }),
  getStorageResource: storage,
  changeStorageResource: withBody(storage, { description: "ours" }),
  deleteStorageResource: async ({ callers, next }) => {
    const name = `s${next()}`;
    const body = { name, kind: "sftp" as const, project: PROJECT, ...HOST };
    await callers.people.owner.client.call("createStorageResource", { body });
    return { params: { resource: name } };
  },
  listStorageShares: storage,
  shareStorageResource: withBody(storage, { user: VICTIM }),
  unshareStorageResource: withQuery(storage, { user: VICTIM }),
  listAgents: nothing,
  getAgent: agent,
  getAgentMetrics: agent,
  drainAgent: withBody(agent, {}),
  revokeAgent: async ({ at, next }) => {
    const { agent } = await enrol(at, `gone-${next()}`, PROJECT);
    return { params: { agent }, body: {} };
  },
  rotateAgentKey: ({ callers }) => ({ body: rotationOf(callers.agents.revoked).body }),
  createEnrolmentToken: () => ({ body: { project: PROJECT } }),
  listEnrolmentTokens: nothing,
  getEnrolmentToken: async ({ at }) => ({ params: { id: await enrolmentToken(at) } }),
  revokeEnrolmentToken: async ({ at }) => ({ params: { id: await enrolmentToken(at) } }),
  enrolAgent: () => ({ body: { token: "aet_no", name: "x", public_key: generateIdentityKey().publicKey } }),
  agentSession: nothing,
  setUpdatePolicy: withBody(agent, { pinned_version: null, updates_refused: false }),
  listReleases: nothing,
  beginRollout: () => ({ body: {} }),
  listRollouts: nothing,
  getRollout: () => ({ params: { rollout: 99 } }),
  stopRollout: () => ({ params: { rollout: 99 }, body: {} }),
  downloadAgent: () => ({ params: { platform: "linux-x64" } }),
  downloadAgentSum: () => ({ params: { platform: "linux-x64" } }),
  listAudit: nothing,
  exportAudit: nothing,
  auditHead: nothing,
  listAuditSeals: nothing,
  checkAudit: nothing,
  getAuditEntry: ({ entry }) => ({ params: { entry } }),
  createCredential: ({ next }) => ({ body: { name: `key-${next()}`, type: "TOKEN", secret: SECRET } }),
  listCredentials: nothing,
  getCredential: credential,
  changeCredential: withBody(credential, { description: "ours" }),
  deleteCredential: async ({ callers, next }) => {
    const body = { name: `gone-${next()}`, type: "TOKEN" as const, secret: SECRET };
    const { id } = await callers.people.owner.client.call("createCredential", { body });
    for (const [user, access] of [
      ["viewer", "read"],
      ["operator", "write"],
    ] as const)
      await callers.people.owner.client.call("shareCredential", { params: { credential: id }, body: { user, access } });
    return { params: { credential: id } };
  },
  rotateCredential: withBody(credential, { secret: SECRET }),
  testCredential: credential,
  listCredentialShares: credential,
  shareCredential: withBody(credential, { user: VICTIM }),
  unshareCredential: withQuery(credential, { user: VICTIM }),
  listCredentialBindings: credential,
  bindCredential: withBody(credential, { compute_resource: "cluster" }),
  unbindCredential: withQuery(credential, { compute_resource: "cluster" }),
  credentialUsage: credential,
  getVault: nothing,
  rotateVaultKey: nothing,
  logIn: () => ({ body: { username: "nobody-at-all", password: "not a password of ours" } }),
  refreshLogin: () => ({ body: { refresh_token: "art_no-such-token" } }),
  oidcLogin: nothing,
  oidcCallback: withQuery(nothing, { state: "none", code: "none" }),
  oidcToken: () => ({ body: { ticket: "none-such-ticket-0123456789012345678901234567" } }),
  oidcDevice: nothing,
  oidcDevicePoll: () => ({ body: { handle: "none-such-handle-0123456789012345678901234567" } }),
  logOut: () => ({ body: {} }),
  changePassword: () => ({ body: { current_password: "not a password", new_password: "another few words" } }),
  listSessions: nothing,
  revokeSession: () => ({ params: { session: 999_999 } }),
  createToken: ({ next }) => ({ body: { name: `t${next()}`, scopes: ["read"] } }),
  listTokens: nothing,
  revokeToken: () => ({ params: { token: 999_999 } }),
  currentUser: nothing,
  listUsers: nothing,
  createUser: ({ next }) => ({ body: { username: `user-${next()}` } }),
  getUser: victim,
  changeUser: withBody(victim, { display_name: "V" }),
  disableUser: victim,
  enableUser: victim,
  resetPassword: victim,
  events: nothing,
  createEventsTicket: nothing,
  health: nothing,
  healthDatabase: nothing,
  healthReady: nothing,
  openapi: nothing,
  metrics: nothing,
  index: nothing,
};

async function enrolmentToken(at: TestCoordinator): Promise<number> {
  return (await at.client.call("createEnrolmentToken", { body: { project: PROJECT } })).id;
}
