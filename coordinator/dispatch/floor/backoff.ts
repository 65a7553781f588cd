/**
 * Waiting before the next try: uniform(½, 1) × min(300 s, 1 s × 2^(n−1)) after try n. The time stands in the journal on
 * the wall clock; in memory it is counted on the monotonic one, so that a clock that jumps neither hurries nor holds it.
 */
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS } from "../../../shared/model/constants.ts";
import type { Core } from "../core.ts";
import { isMarked, NOT_HELD, REPORTED, type TemplateLedger } from "../ledger/ledger.ts";
import type { Now } from "../ports.ts";
import { offerAgain } from "./hold.ts";

/** Delay in ms after try number `tried` (from 1). */
export function backoffMs(tried: number, random: () => number): number {
  return Math.round(longestMs(tried) * (0.5 + random() / 2));
}

function longestMs(tried: number): number {
  return Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (Math.max(1, tried) - 1));
}

/**
 * Takes a QUEUED task out of reach until its time, or offers it at once when that has come. `former`: its latest attempt
 * was lost in a former reign, or may have been, and must have lost its agent's trust before the next one is given.
 */
export function backOff(core: Core, template: TemplateLedger, index: number, now: Now, former: boolean): void {
  const notBefore = template.notBefore.get(index);
  // Written by a clock that has been set back since, it may lie an hour ahead: no longer than any backoff of so many tries.
  let delay =
    notBefore === undefined ? 0 : Math.min(notBefore - now.wall, longestMs(template.attempts[index] as number));
  if (former && mayBeHeld(template, index)) delay = Math.max(delay, core.formerUntilMono - now.mono);
  if (delay <= 0) {
    core.backing.delete(template.base + index);
    offerAgain(core, template, index);
    return;
  }
  const dueMono = now.mono + delay;
  core.backing.set(template.base + index, dueMono);
  core.due.push({ dueMono, template, index });
}

/**
 * Whether an agent may still trust the latest attempt although the journal takes it for lost: it came back to a former
 * reign and was allowed to go on, of which nothing was written. Its session with that reign ends by `formerUntilMono`.
 */
export function mayBeHeld(template: TemplateLedger, index: number): boolean {
  return (template.attempts[index] as number) > 0 && !isMarked(template, index, REPORTED | NOT_HELD);
}

/** Offers every task whose time has come. */
export function releaseDue(core: Core, now: Now): void {
  for (let next = core.due.top(); next && next.dueMono <= now.mono; next = core.due.top()) {
    core.due.pop();
    const number = next.template.base + next.index;
    if (core.backing.get(number) !== next.dueMono) continue;
    core.backing.delete(number);
    offerAgain(core, next.template, next.index);
  }
}
