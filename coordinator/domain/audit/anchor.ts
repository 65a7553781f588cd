/**
 * Anchors: a line per head of the chain (time, seal, hash) at the end of a file that is shipped to where the database's
 * owner cannot write. What does not continue the last line is not anchored: somebody has to look.
 */
import { type FileHandle, open } from "node:fs/promises";
import { AiravataError } from "../../../shared/error/error.ts";
import { type AnchorLine, anchorText, parseAnchor } from "../../../shared/model/anchor.ts";
import type { AuditLog } from "../../store/audit-log.ts";

export interface Anchor {
  /** Anchors the head unless it stands there. Rejects with `audit_anchor_not_written`, `audit_anchor_mismatch`. */
  keep(): Promise<void>;
}

/** Room for the last line and one that was torn. */
const TAIL_BYTES = 4_096;

export function createAnchor(path: string, log: AuditLog): Anchor {
  /** The seal of the last line; undefined until it was read and compared. */
  let anchored: number | undefined;
  return {
    keep: async () => {
      const { head } = await log.head();
      if (head !== undefined && head.seal === anchored) return;
      const file = await open(path, "a+", 0o640).catch((error: unknown) => refuse(path, error));
      try {
        const { last, torn } = await readTail(file);
        if (last) await compare(path, last, log);
        anchored = last?.seal ?? 0;
        // Nothing is sealed yet, and the file says so too.
        if (head === undefined) return;
        if (anchored === head.seal) return;
        await file.appendFile(`${torn ? "\n" : ""}${anchorText(head)}\n`);
        await file.sync();
        anchored = head.seal;
      } catch (error) {
        throw error instanceof AiravataError ? error : refuse(path, error);
      } finally {
        await file.close().catch(() => {});
      }
    },
  };
}

/** Throws `audit_anchor_mismatch`: the database is another one, an older one, or was changed. */
async function compare(path: string, last: AnchorLine, log: AuditLog): Promise<void> {
  const [found] = await log.heads(last.seal - 1, 1);
  if (found?.seal === last.seal && found.hash === last.hash) return;
  const what = found?.seal === last.seal ? "has another hash" : "is not in the audit any more";
  throw new AiravataError(
    "audit_anchor_mismatch",
    `seal ${last.seal}, anchored in ${path} at ${last.at}, ${what}: the audit was cut off or rewritten, or the database restored; move the file away once you know which`,
  );
}

async function readTail(file: FileHandle): Promise<{ last: AnchorLine | undefined; torn: boolean }> {
  const { size } = await file.stat();
  const from = Math.max(0, size - TAIL_BYTES);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(TAIL_BYTES), 0, TAIL_BYTES, from);
  const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
  // What follows the last line's end is empty, or the beginning of one that a crash cut off.
  const torn = lines.pop() !== "";
  const found = lines.map(parseAnchor).findLast((line) => line !== undefined);
  return { last: found, torn };
}

function refuse(path: string, cause: unknown): never {
  const { code, message } = cause as NodeJS.ErrnoException;
  const why = code === "ENOSPC" || code === "EDQUOT" ? "the disk is full" : message;
  throw new AiravataError(
    "audit_anchor_not_written",
    `${path} cannot be written (${why}); the audit goes on unanchored`,
    {
      cause,
    },
  );
}
