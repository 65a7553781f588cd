/** The audit for people: lists, one entry, and the export as lines that anybody can check. */
import { AiravataError } from "../../../shared/error/error.ts";
import type { AuditFilter, AuditLog, StoredAuditEntry } from "../../store/audit-log.ts";
import { numbersOf, type Visible } from "../access/access.ts";
import type { Listed } from "../experiment/list.ts";
import { byEntry } from "./chain.ts";

export type { AuditLog, StoredAuditEntry };

/** Lines of one statement: a megabyte of them, beyond what is usual. */
const LINES_PER_READ = 500;
const SEALS_PER_READ = 1;

/** Newest first. Throws `cursor_invalid`. */
export async function listAudit(
  log: AuditLog,
  filter: Omit<AuditFilter, "projects">,
  query: { limit: number; cursor: string | undefined; visible: Visible },
): Promise<Listed<StoredAuditEntry>> {
  if (query.cursor !== undefined && !/^\d{1,15}$/.test(query.cursor)) {
    throw new AiravataError("cursor_invalid", "the cursor is not one of this list; leave it out to begin anew");
  }
  const before = query.cursor === undefined ? null : Number(query.cursor);
  const found = await log.find({ ...filter, projects: numbersOf(query.visible) }, before, query.limit + 1);
  const items = found.slice(0, query.limit);
  return { items, nextCursor: found.length > query.limit ? String(items.at(-1)?.entry) : null };
}

/** Throws `audit_entry_not_found`. */
export async function findAuditEntry(log: AuditLog, entry: number, visible: Visible) {
  const found = await log.entry(entry, numbersOf(visible));
  if (found) return found;
  throw new AiravataError("audit_entry_not_found", `there is no audit entry ${entry}, or you may not see it`);
}

/** What there is now, oldest first, a line of JSON each. */
export async function* exportAudit(
  log: AuditLog,
  filter: Omit<AuditFilter, "projects">,
  visible: Visible,
): AsyncGenerator<Uint8Array> {
  const last = await log.newest();
  const projects = numbersOf(visible);
  for (let after = 0; ; ) {
    const lines = await log.lines({ ...filter, projects }, after, last, LINES_PER_READ);
    if (lines.length === 0) return;
    yield Buffer.from(lines.map(({ line }) => `${line}\n`).join(""));
    after = lines.at(-1)?.entry as number;
  }
}

/** Every sealed entry, after those of each seal the seal itself: what the chain is computed from. */
export async function* exportSealed(log: AuditLog): AsyncGenerator<Uint8Array> {
  const { head } = await log.head();
  for (let after = 0; after < (head?.seal ?? 0); ) {
    const [seal] = await log.seals(after, SEALS_PER_READ);
    if (!seal) return;
    const lines = byEntry(await log.linesOf(seal.entries));
    const held = seal.entries.map((entry) => lines.get(entry)).filter((line) => line !== undefined);
    const { at, entries } = seal;
    const [previous, hash] = [seal.previous.toString("hex"), seal.hash.toString("hex")];
    yield Buffer.from(
      [...held, JSON.stringify({ seal: seal.seal, at, entries, previous, hash })].map((line) => `${line}\n`).join(""),
    );
    after = seal.seal;
  }
}
