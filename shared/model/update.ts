/** Updates of agent programs: what an agent says about one, what becomes of it in a rollout, names of releases. */

/** What an agent says about the update that it was asked for last. */
export const UPDATE_PHASES = ["DOWNLOADING", "HANDING_OVER", "HEALTHY", "FAILED", "REFUSED", "ROLLED_BACK"] as const;
/**
 * DOWNLOADING: fetches and checks. HANDING_OVER: the new program is about to start on trial. HEALTHY: it has a session;
 * it stays. FAILED: fetching or checking came to nothing, the program is the former one. REFUSED: this agent cannot
 * replace its program. ROLLED_BACK: the new program did not come up, and the former one runs again.
 */
export type UpdatePhase = (typeof UPDATE_PHASES)[number];

/** States of an agent in a rollout. */
export const TARGET_STATES = [
  "WAITING",
  "ASKED",
  "DOWNLOADING",
  "HANDING_OVER",
  "PROVING",
  "UPDATED",
  "FAILED",
  "ROLLED_BACK",
  "SKIPPED",
] as const;
/**
 * WAITING: its turn has not come; the reconciler moves it on. ASKED: it was told, and is told again while it does not
 * answer. DOWNLOADING, HANDING_OVER: as it says. PROVING: it is back with the new program, which must stay READY for a
 * while. UPDATED: it did. FAILED, ROLLED_BACK: it did not, and the rollout stops. SKIPPED: it may not or cannot be
 * updated, which says nothing about the release. All of it is in the database: the next leader goes on.
 */
export type TargetState = (typeof TARGET_STATES)[number];

/** ACTIVE: agents are being updated. DONE: all of its agents are UPDATED or SKIPPED. STOPPED: by a failure or a person. */
export const ROLLOUT_STATES = ["ACTIVE", "DONE", "STOPPED"] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** Ten times today's executable. */
export const RELEASE_BYTES_MAX = 1024 * 1024 * 1024;
export const VERSION_LENGTH_MAX = 64;
/** `1.2.0`, `1.2.0-rc.1`: three numbers, and what semantic versioning allows after them. */
export const VERSION_PATTERN = /^\d{1,6}\.\d{1,6}\.\d{1,6}(?:[-+][0-9A-Za-z.+-]{1,40})?$/;
/** Systems that releases are made for. */
export const PLATFORM_PATTERN = /^linux-(?:x64|arm64)$/;

/** Order of versions as semantic versioning has it: below 0 when `a` is the older one. */
export function compareVersions(a: string, b: string): number {
  const [coreA, tagA] = split(a);
  const [coreB, tagB] = split(b);
  for (let i = 0; i < 3; i++) {
    const difference = (coreA[i] ?? 0) - (coreB[i] ?? 0);
    if (difference !== 0) return difference;
  }
  if (tagA === tagB) return 0;
  // A release comes after its own candidates.
  if (tagA === "" || tagB === "") return tagA === "" ? 1 : -1;
  const partsA = tagA.split(".");
  const partsB = tagB.split(".");
  for (let i = 0; i < Math.max(partsA.length, partsB.length); i++) {
    const difference = compareParts(partsA[i], partsB[i]);
    if (difference !== 0) return difference;
  }
  return 0;
}

function split(version: string): [number[], string] {
  const [, core = "", tag = ""] = /^([\d.]+)(?:-([^+]*))?/.exec(version) ?? [];
  return [core.split(".").map(Number), tag];
}

function compareParts(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (isNumberA && isNumberB) return Number(a) - Number(b);
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
