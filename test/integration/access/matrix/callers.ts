/**
 * Who calls in the matrix: people with each role of one project, people without, agents that try what they hold, and
 * tokens that are none.
 */
import { createPrivateKey } from "node:crypto";
import { SignJWT, UnsecuredJWT } from "jose";
import { createClient } from "../../../../shared/api/client.ts";
import { generateIdentityKey } from "../../../../shared/identity/identity.ts";
import type { AgentId } from "../../../../shared/model/ids.ts";
import type { AgentIdentityForTest } from "../../../support/agent-peer.ts";
import { TEST_SIGNING_KEY, type TestCoordinator } from "../../../support/coordinator.ts";
import { createUser, type TestUser } from "../../../support/users.ts";

/** In the order in which they ask: who may least asks first. */
export const CALLERS = [
  "nobody",
  "stranger",
  "viewer",
  "submitter",
  "operator",
  "owner",
  "administrator",
  "agent",
  "foreign",
  "revoked",
  "expired",
  "alg_none",
  "other_key",
] as const;
export type CallerName = (typeof CALLERS)[number];

export const PEOPLE = ["stranger", "viewer", "submitter", "operator", "owner", "administrator"] as const;
export type Person = (typeof PEOPLE)[number];

export interface Callers {
  people: Record<Person, TestUser>;
  agents: Record<"agent" | "foreign" | "revoked", AgentIdentityForTest>;
  /** What each sends as a bearer token. */
  tokens: Record<CallerName, string | undefined>;
}

export const PROJECT = "lab";

export async function makeCallers(at: TestCoordinator): Promise<Callers> {
  for (const name of [PROJECT, "elsewhere"]) await at.client.call("createProject", { body: { name } });
  const people = {} as Record<Person, TestUser>;
  for (const name of PEOPLE) {
    const role = name === "administrator" ? ({ role: "administrator" } as const) : {};
    people[name] = await createUser(at, { username: name, ...role });
  }
  for (const role of ["viewer", "submitter", "operator", "owner"] as const) {
    await at.client.call("setProjectMember", { params: { project: PROJECT }, body: { user: role, role } });
  }
  const agents = {
    agent: await enrol(at, "agent", PROJECT),
    foreign: await enrol(at, "foreign", "elsewhere"),
    revoked: await enrol(at, "revoked", PROJECT),
  };
  await at.client.call("revokeAgent", { params: { agent: agents.revoked.agent }, body: {} });
  const { access_token: whole } = people.owner.login;
  const claims = JSON.parse(Buffer.from(whole.split(".")[1] ?? "", "base64url").toString());
  const header = JSON.parse(Buffer.from(whole.split(".")[0] ?? "", "base64url").toString());
  const key = (text: string): Uint8Array => new TextEncoder().encode(text);
  const signed = (change: object, secret: string): Promise<string> =>
    new SignJWT({ ...claims, ...change }).setProtectedHeader(header).sign(key(secret));
  const minuteAgo = Math.floor(Date.now() / 1000) - 60;
  return {
    people,
    agents,
    tokens: {
      nobody: undefined,
      ...Object.fromEntries(PEOPLE.map((name) => [name, people[name].login.access_token])),
      agent: await byAgent(agents.agent, claims),
      foreign: await byAgent(agents.foreign, claims),
      revoked: await byAgent(agents.revoked, claims),
      expired: await signed({ iat: minuteAgo - 60, exp: minuteAgo }, TEST_SIGNING_KEY),
      alg_none: new UnsecuredJWT(claims).encode(),
      other_key: await signed({}, `another-${TEST_SIGNING_KEY}`),
    } as Callers["tokens"],
  };
}

/** A further login of a person, for what ends it. */
export async function freshToken(at: TestCoordinator, { username, password }: TestUser): Promise<string> {
  const body = { username, password, client: "matrix" };
  return (await createClient({ server: at.url }).call("logIn", { body })).access_token;
}

export async function enrol(at: TestCoordinator, name: string, project: string): Promise<AgentIdentityForTest> {
  const { token } = await at.client.call("createEnrolmentToken", { body: { project } });
  const { privatePem, publicKey } = generateIdentityKey();
  const { agent } = await at.client.call("enrolAgent", { body: { token, name, public_key: publicKey } });
  return { agent: agent as AgentId, name, privatePem };
}

/** The owner's claims signed by the one key that an agent holds. */
function byAgent({ privatePem }: AgentIdentityForTest, claims: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", typ: "at+jwt" }).sign(createPrivateKey(privatePem));
}
