/**
 * The agent's private key on its disk, and another one in its place. While a change is under way both lie there, the new
 * one as `agent.key.next`: until the coordinator has said that it counts nobody knows which one does, wherever a process
 * died. The request is repeated until it is answered, which is safe; only then the new key takes the place of the other.
 * Several processes may do this at once: they go on with the same new key.
 */
import type { KeyObject } from "node:crypto";
import { link, mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { generateIdentityKey, publicKeyText, readIdentityKey, signRotation } from "../../shared/identity/identity.ts";
import type { Way } from "./proxy.ts";
import { postJson } from "./request.ts";

const KEY_FILE = "agent.key";
const NEXT_FILE = "agent.key.next";

/** The key of the state directory, made when missing: an enrolment whose answer was lost is repeated with the same one. */
export async function ownKey(stateDir: string): Promise<KeyObject> {
  const path = join(stateDir, KEY_FILE);
  const found = await readKey(path);
  if (found !== undefined) return found;
  const { privatePem } = generateIdentityKey();
  await replaceFile(path, privatePem);
  return readIdentityKey(privatePem);
}

export interface KeyOwner {
  stateDir: string;
  apiUrl: string;
  agent: number;
  name: string;
  way: Way;
}

/** Since when the key is there, wall-clock milliseconds. */
export async function keyMadeAtMs(stateDir: string): Promise<number> {
  return (await stat(join(stateDir, KEY_FILE))).mtimeMs;
}

/**
 * The key that counts, after a change that was interrupted is finished. Throws `server_unreachable` and its like while that
 * cannot be done, and what the coordinator refuses it with.
 */
export async function keyThatCounts(owner: KeyOwner): Promise<KeyObject> {
  const next = await readKey(join(owner.stateDir, NEXT_FILE));
  return next === undefined ? ownKey(owner.stateDir) : finishRotation(owner, next);
}

/** Makes a new key and the coordinator count it. Throws as `keyThatCounts` does; the next one goes on with it then. */
export async function rotateKey(owner: KeyOwner): Promise<KeyObject> {
  const path = join(owner.stateDir, NEXT_FILE);
  const beside = `${path}.${process.pid}`;
  await writeDurably(beside, generateIdentityKey().privatePem);
  try {
    await link(beside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(beside);
  }
  await syncDirectory(owner.stateDir);
  return keyThatCounts(owner);
}

async function finishRotation({ stateDir, apiUrl, agent, name, way }: KeyOwner, next: KeyObject): Promise<KeyObject> {
  const before = await ownKey(stateDir);
  const claim = { agent, name, previousKey: publicKeyText(before), publicKey: publicKeyText(next) };
  if (claim.previousKey !== claim.publicKey) {
    const body = {
      agent,
      name,
      previous_key: claim.previousKey,
      public_key: claim.publicKey,
      proof: signRotation(before, claim),
      new_proof: signRotation(next, claim),
    };
    await postJson(apiUrl, "/api/v1/agent/key", body, "does not change this agent's key", way);
  }
  try {
    await rename(join(stateDir, NEXT_FILE), join(stateDir, KEY_FILE));
    await syncDirectory(stateDir);
  } catch (error) {
    // Another process finished it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return next;
}

async function readKey(path: string): Promise<KeyObject | undefined> {
  try {
    return readIdentityKey(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Replaces a file, mode 0600, so that a crash of the machine leaves the former or the new one and never a part. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  await mkdir(dirname(path), { recursive: true });
  await writeDurably(beside, text);
  await rename(beside, path);
  await syncDirectory(dirname(path));
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
