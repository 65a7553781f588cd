/**
 * Who this agent is, in its state directory: the private key (mode 0600), the number and name that its coordinator gave
 * it, and the timeline its attempts belong to. An agent enrols once; afterwards its key is all it needs.
 */
import { type KeyObject, randomUUID } from "node:crypto";
import { link, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import { publicKeyText } from "../../shared/identity/identity.ts";
import type { AgentId } from "../../shared/model/ids.ts";
import { ownKey, replaceFile } from "./keys.ts";
import type { TlsFiles, Way } from "./proxy.ts";
import { postJson } from "./request.ts";

const IDENTITY_FILE = "agent.json";
const ROOT_FILE = ".root";
const SPENT = new Set(["enrolment_token_used", "enrolment_token_invalid"]);

export interface Identity {
  agent: AgentId;
  /** As it is enrolled; a later change of the setting does not rename it. */
  name: string;
  /** The coordinator that enrolled it. */
  server: string;
  timeline: number;
  key: KeyObject;
}

export interface EnrolOptions {
  stateDir: string;
  apiUrl: string;
  name: string;
  /** Needed only while there is no identity. */
  token: string | undefined;
  /** Where the agent believes to be; the coordinator refuses it unless the token says the same. */
  computeResource?: string | undefined;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
}

/**
 * The identity of the state directory, which is made by enrolment when there is none. Throws `agent_not_enrolled`,
 * `server_unreachable`, or what the coordinator answered.
 */
export async function loadOrEnrol(options: EnrolOptions): Promise<Identity> {
  const { stateDir, apiUrl, name, token, computeResource } = options;
  const saved = await loadIdentity(stateDir);
  if (saved !== undefined) {
    if (sameServer(saved.server, apiUrl)) return saved;
    // The coordinator may have moved: its key proves who it talks to, so this is allowed and remembered.
    if (token === undefined) return movedTo(stateDir, saved, apiUrl);
  }
  if (token === undefined) {
    throw new AiravataError(
      "agent_not_enrolled",
      `this agent is not enrolled: make a token with "airavata enrolment create" at ${apiUrl} and set AIRAVATA_ENROLMENT_TOKEN to it for the first start`,
    );
  }
  const key = await ownKey(stateDir);
  const request = { token, name, public_key: publicKeyText(key), compute_resource: computeResource };
  const enrolled = await enrol(apiUrl, request, options).catch((error: unknown) => {
    // A unit keeps the variable for ever: the token that this agent used long ago says nothing about where it went.
    if (saved !== undefined && error instanceof AiravataError && SPENT.has(error.code)) return undefined;
    throw error;
  });
  if (enrolled === undefined) return movedTo(stateDir, saved as Identity, apiUrl);
  const identity = {
    agent: enrolled.agent as AgentId,
    name: enrolled.name,
    server: apiUrl,
    timeline: enrolled.timeline,
    key,
  };
  await saveIdentity(stateDir, identity);
  return identity;
}

async function movedTo(stateDir: string, identity: Identity, server: string): Promise<Identity> {
  const moved = { ...identity, server };
  await saveIdentity(stateDir, moved);
  return moved;
}

/** Keeps a timeline that a welcome named. */
export async function saveIdentity(stateDir: string, identity: Identity): Promise<void> {
  const { agent, name, server, timeline } = identity;
  await replaceFile(join(stateDir, IDENTITY_FILE), `${JSON.stringify({ agent, name, server, timeline })}\n`);
}

/** Identity of an output directory: agents that see the same files read the same one. */
export async function rootIdentity(outputDir: string): Promise<string> {
  const path = join(outputDir, ROOT_FILE);
  const beside = `${path}.${process.pid}.new`;
  await writeFile(beside, randomUUID());
  try {
    // Two agents that come at once: one makes the link, both read it.
    await link(beside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(beside);
  }
  return (await readFile(path, "utf8")).trim();
}

/** Undefined: this directory has none. */
export async function loadIdentity(stateDir: string): Promise<Identity | undefined> {
  let text: string;
  try {
    text = await readFile(join(stateDir, IDENTITY_FILE), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const { agent, name, server, timeline } = JSON.parse(text) as Omit<Identity, "key">;
  return { agent, name, server, timeline, key: await ownKey(stateDir) };
}

async function enrol(
  apiUrl: string,
  body: { token: string; name: string; public_key: string; compute_resource: string | undefined },
  way: Way,
): Promise<{ agent: number; name: string; timeline: number }> {
  const answer = await postJson(apiUrl, "/api/v1/agent/enrol", body, "does not enrol this agent", way);
  return answer as { agent: number; name: string; timeline: number };
}

function sameServer(a: string, b: string): boolean {
  return a.replace(/\/+$/, "") === b.replace(/\/+$/, "");
}
