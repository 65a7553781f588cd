/**
 * What each route needs of who calls it. A route that does not stand here does not compile. The server checks it before the
 * handler runs, the OpenAPI document shows it as `x-permission`, and tests ask every route as everybody.
 */
import type { Route } from "./routes/route.ts";
import { type RouteId, routes } from "./routes.ts";
import type { Scope } from "./scopes.ts";

export { SCOPES, type Scope } from "./scopes.ts";

/** Permissions by the type of what they are about: those of db/spicedb_schema.zed. */
export interface Permissions {
  platform: "administer" | "operate";
  group: "manage" | "view";
  project: "manage" | "operate" | "submit" | "view";
  experiment: "operate" | "view";
  credential: "manage" | "write" | "read";
  compute_resource: "manage" | "write" | "read";
  storage_resource: "manage" | "write" | "read";
  agent: "operate" | "view";
  enrolment_token: "operate";
  allocation: "operate" | "view";
}
export type ObjectType = keyof Permissions;

export type Need =
  /** Anybody, also without a token. */
  | { kind: "open" }
  /** Whoever is known, about himself. */
  | { kind: "known" }
  /** A permission on the one thing that the path names; `view` or its like is what makes it exist for the caller. */
  | { kind: "one"; on: ObjectType; permission: string; parameter: string }
  /** A permission on the whole installation; `loopback`: also a caller on this machine. */
  | { kind: "platform"; permission: Permissions["platform"]; loopback?: boolean }
  /** A list: what the caller has the permission on, and nothing else. */
  | { kind: "each"; on: ObjectType; permission: string }
  /** On what only the body names: the domain asks once it is read. */
  | { kind: "body"; on: ObjectType; permission: string };

const OPEN = { kind: "open" } as const;
const KNOWN = { kind: "known" } as const;
const one = <T extends ObjectType>(on: T, permission: Permissions[T], parameter: string = on): Need => {
  return { kind: "one", on, permission, parameter };
};
const each = <T extends ObjectType>(on: T, permission: Permissions[T]): Need => ({ kind: "each", on, permission });
const inBody = <T extends ObjectType>(on: T, permission: Permissions[T]): Need => ({ kind: "body", on, permission });
const platform = (permission: Permissions["platform"]): Need => ({ kind: "platform", permission });

export const ACCESS: Record<RouteId, Need> = {
  submitExperiment: inBody("project", "submit"),
  listExperiments: each("experiment", "view"),
  getExperiment: one("experiment", "view"),
  listTasks: one("experiment", "view"),
  cancelExperiment: one("experiment", "operate"),
  pauseExperiment: one("experiment", "operate"),
  resumeExperiment: one("experiment", "operate"),
  retryExperiment: one("experiment", "operate"),
  retireExperiment: one("experiment", "operate"),
  listExperimentShares: one("experiment", "view"),
  // Who was given it may not pass it on: the domain asks for the project, or for whose it is.
  shareExperiment: one("experiment", "operate"),
  unshareExperiment: one("experiment", "operate"),
  explainExperiment: one("experiment", "view"),
  experimentTimeline: one("experiment", "view"),
  listOutputs: one("experiment", "view"),
  readOutput: one("experiment", "view"),
  getTask: one("experiment", "view", "task"),
  listAttempts: one("experiment", "view", "task"),
  readLog: one("experiment", "view", "task"),
  explainTask: one("experiment", "view", "task"),
  cancelTask: one("experiment", "operate", "task"),

  listProjects: each("project", "view"),
  createProject: platform("administer"),
  getProject: one("project", "view"),
  // Weight and limits concern everybody's work: the handler asks for the installation when one of them is named.
  changeProject: one("project", "manage"),
  listProjectMembers: one("project", "view"),
  setProjectMember: one("project", "manage"),
  removeProjectMember: one("project", "manage"),

  listGroups: each("group", "view"),
  createGroup: KNOWN,
  getGroup: one("group", "view"),
  changeGroup: one("group", "manage"),
  deleteGroup: one("group", "manage"),
  listGroupMembers: one("group", "view"),
  addGroupMember: one("group", "manage"),
  removeGroupMember: one("group", "manage"),

  listComputeResources: each("compute_resource", "read"),
  createComputeResource: inBody("project", "operate"),
  getComputeResource: one("compute_resource", "read", "resource"),
  changeComputeResource: one("compute_resource", "write", "resource"),
  deleteComputeResource: one("compute_resource", "manage", "resource"),
  listComputeShares: one("compute_resource", "read", "resource"),
  shareComputeResource: one("compute_resource", "manage", "resource"),
  unshareComputeResource: one("compute_resource", "manage", "resource"),

  listStorageResources: each("storage_resource", "read"),
  createStorageResource: inBody("project", "operate"),
  getStorageResource: one("storage_resource", "read", "resource"),
  changeStorageResource: one("storage_resource", "write", "resource"),
  deleteStorageResource: one("storage_resource", "manage", "resource"),
  listStorageShares: one("storage_resource", "read", "resource"),
  shareStorageResource: one("storage_resource", "manage", "resource"),
  unshareStorageResource: one("storage_resource", "manage", "resource"),

  listAgents: each("agent", "view"),
  getAgent: one("agent", "view"),
  getAgentMetrics: one("agent", "view"),
  drainAgent: one("agent", "operate"),
  revokeAgent: one("agent", "operate"),
  // The key that counts signs the one that replaces it.
  rotateAgentKey: OPEN,
  setUpdatePolicy: one("agent", "operate"),
  listReleases: platform("operate"),
  beginRollout: platform("operate"),
  listRollouts: platform("operate"),
  getRollout: platform("operate"),
  stopRollout: platform("operate"),
  downloadAgent: OPEN,
  downloadAgentSum: OPEN,
  createEnrolmentToken: inBody("project", "operate"),
  listEnrolmentTokens: each("enrolment_token", "operate"),
  getEnrolmentToken: one("enrolment_token", "operate", "id"),
  revokeEnrolmentToken: one("enrolment_token", "operate", "id"),
  // The token and the key are the proof.
  enrolAgent: OPEN,
  agentSession: OPEN,

  // Owners see the entries of their projects.
  listAudit: each("project", "manage"),
  getAuditEntry: each("project", "manage"),
  exportAudit: each("project", "manage"),
  auditHead: platform("administer"),
  listAuditSeals: platform("administer"),
  checkAudit: platform("administer"),
  // Whoever is known may keep secrets of his own; for a project the domain asks.
  createCredential: KNOWN,
  listCredentials: each("credential", "read"),
  getCredential: one("credential", "read"),
  changeCredential: one("credential", "write"),
  deleteCredential: one("credential", "manage"),
  rotateCredential: one("credential", "write"),
  testCredential: one("credential", "read"),
  listCredentialShares: one("credential", "read"),
  shareCredential: one("credential", "manage"),
  unshareCredential: one("credential", "manage"),
  listCredentialBindings: one("credential", "read"),
  // To write the resource too: the handler asks. Unbinding is for whoever may either manage the one or write the other.
  bindCredential: one("credential", "write"),
  unbindCredential: inBody("credential", "manage"),
  credentialUsage: one("credential", "read"),
  getVault: platform("operate"),
  rotateVaultKey: platform("administer"),
  // The provider, the ticket or the handle is the proof.
  oidcLogin: OPEN,
  oidcCallback: OPEN,
  oidcToken: OPEN,
  oidcDevice: OPEN,
  oidcDevicePoll: OPEN,

  // Each subscription asks for what it names.
  events: each("experiment", "view"),
  createEventsTicket: KNOWN,

  logIn: OPEN,
  refreshLogin: OPEN,
  logOut: KNOWN,
  changePassword: KNOWN,
  listSessions: KNOWN,
  revokeSession: KNOWN,
  createToken: KNOWN,
  listTokens: KNOWN,
  revokeToken: KNOWN,
  currentUser: KNOWN,
  listUsers: platform("administer"),
  createUser: platform("administer"),
  getUser: platform("administer"),
  changeUser: platform("administer"),
  disableUser: platform("administer"),
  enableUser: platform("administer"),
  resetPassword: platform("administer"),

  health: OPEN,
  healthDatabase: OPEN,
  healthReady: OPEN,
  openapi: KNOWN,
  metrics: { kind: "platform", permission: "operate", loopback: true },
  index: OPEN,
};

/** Never with a personal token, whatever its scopes: with these it, or who stole it, could outlive what it was made for. */
export const NOT_BY_TOKEN: ReadonlySet<RouteId> = new Set<RouteId>([
  "logOut",
  "changePassword",
  "listSessions",
  "revokeSession",
  "createToken",
  "listTokens",
  "revokeToken",
  "resetPassword",
  // An account with a password that the token's holder is told, a role for it, and one that was taken away.
  "createUser",
  "changeUser",
  "enableUser",
]);

/** With a login whose password must be changed first. */
export const BEFORE_PASSWORD_CHANGE: ReadonlySet<RouteId> = new Set<RouteId>([
  "changePassword",
  "logOut",
  "currentUser",
]);

/** Whatever a token is limited to. */
export const WITH_ANY_SCOPE: ReadonlySet<RouteId> = new Set<RouteId>(["currentUser"]);

/** As the OpenAPI document says it: `experiment.view`, `open`. */
export function needText(need: Need): string {
  switch (need.kind) {
    case "open":
    case "known":
      return need.kind;
    case "platform":
      return `platform.${need.permission}${need.loopback ? " or loopback" : ""}`;
    case "one":
    case "body":
      return `${need.on}.${need.permission}`;
    case "each":
      return `${need.on}.${need.permission} of each`;
  }
}

const SCOPE_OF_TAG: Record<Route["tag"], Scope> = {
  experiments: "experiments",
  tasks: "experiments",
  projects: "projects",
  agents: "agents",
  credentials: "credentials",
  resources: "credentials",
  accounts: "access",
  groups: "access",
  audit: "access",
  events: "read",
  service: "read",
};

/** The scope that a call of the route takes; one of `access` is never only reading. */
export function scopeOf(id: RouteId): Scope {
  const { method, tag }: Route = routes[id];
  const scope = SCOPE_OF_TAG[tag];
  return method === "GET" && scope !== "access" ? "read" : scope;
}
