/**
 * Checks the audit a slice at a time: first the chain, seal by seal; then that no entry stands beside it. Where it goes on
 * is in the cursor, so that a check of millions holds up nobody and a coordinator that is restarted meanwhile loses none.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AuditLog } from "../../store/audit-log.ts";
import { byEntry, CHAIN_START, type ChainFault, type ChainPosition, sealFault } from "./chain.ts";

export interface CheckedSlice {
  /** Of this slice. */
  seals: number;
  entries: number;
  /** The first thing that is wrong: nothing after it was looked at. */
  fault: ChainFault | null;
  /** Null: all was looked at. */
  nextCursor: string | null;
}

/** A slice: 20 seals of 1,000 entries, a second on a busy machine, of which the loop sees some milliseconds at once. */
const SEALS_PER_SLICE = 20;
const ENTRIES_PER_SLICE = 20_000;

/** Throws `cursor_invalid`. */
export async function checkAudit(log: AuditLog, cursor: string | undefined): Promise<CheckedSlice> {
  const chain = cursor === undefined ? CHAIN_START : chainCursor(cursor);
  return chain === undefined ? checkEntries(log, entriesCursor(cursor as string)) : checkChain(log, chain);
}

async function checkChain(log: AuditLog, from: ChainPosition): Promise<CheckedSlice> {
  const seals = await log.seals(from.seal, SEALS_PER_SLICE);
  let before = from;
  let entries = 0;
  for (const [i, seal] of seals.entries()) {
    const fault = sealFault(before, seal, byEntry(await log.linesOf(seal.entries)));
    entries += seal.entries.length;
    if (fault) return { seals: i + 1, entries, fault, nextCursor: null };
    before = { seal: seal.seal, hash: seal.hash.toString("hex") };
  }
  const nextCursor = seals.length < SEALS_PER_SLICE ? "entries.0" : `seals.${before.seal}.${before.hash}`;
  return { seals: seals.length, entries, fault: null, nextCursor };
}

async function checkEntries(log: AuditLog, after: number): Promise<CheckedSlice> {
  const { last, entry } = await log.unsealable(after, ENTRIES_PER_SLICE);
  const done = { seals: 0, entries: 0, fault: null, nextCursor: null };
  if (entry !== null) {
    const sentence = `entry ${entry} was put beside the audit: no seal holds it and none will`;
    return { ...done, fault: { entry, seal: null, sentence } };
  }
  if (last !== null) return { ...done, nextCursor: `entries.${last}` };
  const lost = await log.lost();
  if (lost === undefined) return done;
  return { ...done, fault: { entry: lost, seal: null, sentence: `entry ${lost} was removed before it was sealed` } };
}

function chainCursor(cursor: string): ChainPosition | undefined {
  const match = /^seals\.(\d{1,15})\.([0-9a-f]{64})$/.exec(cursor);
  return match ? { seal: Number(match[1]), hash: match[2] as string } : undefined;
}

function entriesCursor(cursor: string): number {
  const match = /^entries\.(\d{1,15})$/.exec(cursor);
  if (match) return Number(match[1]);
  throw new AiravataError("cursor_invalid", "the cursor is not one of this check; leave it out to begin anew");
}
