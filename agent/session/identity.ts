/**
 * Who this agent is, in its state directory: the private key (mode 0600), the number and name that its coordinator gave
 * it, and the timeline its attempts belong to. An agent enrols once; afterwards its key is all it needs.
 */
import { type KeyObject, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import { generateIdentityKey, publicKeyText, readIdentityKey } from "../../shared/identity/identity.ts";
import type { AgentId } from "../../shared/model/ids.ts";
import type { TlsFiles, Way } from "./proxy.ts";
import { postJson } from "./request.ts";

const KEY_FILE = "agent.key";
const IDENTITY_FILE = "agent.json";
const ROOT_FILE = ".root";

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
  /** One-time token; needed only while there is no identity. */
  token: string | undefined;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
}

/**
 * The identity of the state directory, which is made by enrolment when there is none. Throws `agent_not_enrolled`,
 * `server_unreachable`, or what the coordinator answered.
 */
export async function loadOrEnrol(options: EnrolOptions): Promise<Identity> {
  const { stateDir, apiUrl, name, token } = options;
  const saved = await loadIdentity(stateDir);
  if (saved !== undefined) {
    if (sameServer(saved.server, apiUrl)) return saved;
    if (token === undefined) {
      // The coordinator may have moved: its key proves who it talks to, so this is allowed and remembered.
      const moved = { ...saved, server: apiUrl };
      await saveIdentity(stateDir, moved);
      return moved;
    }
  }
  if (token === undefined) {
    throw new AiravataError(
      "agent_not_enrolled",
      `this agent is not enrolled: make a token with "airavata enrolment create" at ${apiUrl} and set AIRAVATA_ENROLMENT_TOKEN to it for the first start`,
    );
  }
  const key = await ownKey(stateDir);
  const enrolled = await enrol(apiUrl, { token, name, public_key: publicKeyText(key) }, options);
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

async function loadIdentity(stateDir: string): Promise<Identity | undefined> {
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

/** The key of the state directory, made when missing: an enrolment whose answer was lost is repeated with the same one. */
async function ownKey(stateDir: string): Promise<KeyObject> {
  const path = join(stateDir, KEY_FILE);
  try {
    return readIdentityKey(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const { privatePem } = generateIdentityKey();
  await replaceFile(path, privatePem);
  return readIdentityKey(privatePem);
}

async function enrol(
  apiUrl: string,
  body: { token: string; name: string; public_key: string },
  way: Way,
): Promise<{ agent: number; name: string; timeline: number }> {
  const answer = await postJson(apiUrl, "/api/v1/agent/enrol", body, "does not enrol this agent", way);
  return answer as { agent: number; name: string; timeline: number };
}

function sameServer(a: string, b: string): boolean {
  return a.replace(/\/+$/, "") === b.replace(/\/+$/, "");
}

async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(beside, text, { mode: 0o600 });
  await rename(beside, path);
}
