/**
 * The check of the audit's chain: the server computes it anew a slice at a time; heads that were anchored outside are
 * compared here, so that a server that lies about its own chain is still caught by them.
 */
import { readFile } from "node:fs/promises";
import type { Client } from "../../shared/api/client.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { type AnchorLine, parseAnchor } from "../../shared/model/anchor.ts";
import { PAGE_ITEMS_MAX } from "../../shared/model/constants.ts";
import { formatCount, plural } from "./format.ts";

/** Something in the audit is not as it was. */
export class AuditFault extends Error {}

/** A sentence about what was found to be well. Throws `AuditFault` with the first thing that is not. */
export async function checkAudit(client: Client, anchorsPath: string | undefined): Promise<string> {
  const anchors = anchorsPath === undefined ? [] : await readAnchors(anchorsPath);
  let seals = 0;
  let entries = 0;
  for (let cursor: string | undefined; ; ) {
    const slice = await client.call("checkAudit", { query: { cursor } });
    if (slice.fault) throw new AuditFault(slice.fault.sentence);
    seals += slice.seals;
    entries += slice.entries;
    if (slice.next_cursor === null) break;
    cursor = slice.next_cursor;
  }
  await compareAnchors(client, anchors);
  const { waiting } = (await client.call("auditHead", {})) ?? {};
  const well = `${plural(entries, "entry", "entries")} in ${plural(seals, "seal")} are as they were sealed`;
  const anchored = anchorsPath === undefined ? "" : `, ${plural(anchors.length, "anchor")} fit`;
  return `${well}${anchored}${waiting > 0 ? `; ${formatCount(waiting)} not sealed yet` : ""}`;
}

async function compareAnchors(client: Client, anchors: AnchorLine[]): Promise<void> {
  const wanted = new Map<number, AnchorLine>();
  for (const anchor of anchors) {
    const known = wanted.get(anchor.seal);
    if (known && known.hash !== anchor.hash) {
      throw new AuditFault(
        `seal ${anchor.seal} was anchored twice, with different hashes, at ${known.at} and ${anchor.at}`,
      );
    }
    wanted.set(anchor.seal, anchor);
  }
  const inOrder = [...wanted.values()].sort((a, b) => a.seal - b.seal);
  for (let i = 0; i < inOrder.length; ) {
    const first = inOrder[i] as AnchorLine;
    const query = { cursor: String(first.seal - 1), limit: PAGE_ITEMS_MAX };
    const { items } = await client.call("listAuditSeals", { query });
    const hashes = new Map(items.map(({ seal, hash }) => [seal, hash]));
    const last = items.at(-1)?.seal ?? 0;
    for (; i < inOrder.length; i++) {
      const anchor = inOrder[i] as AnchorLine;
      // On the next page, if there is one.
      if (anchor.seal > last && anchor !== first) break;
      const hash = hashes.get(anchor.seal);
      const anchored = `seal ${anchor.seal}, anchored at ${anchor.at},`;
      if (hash === undefined) throw new AuditFault(`${anchored} is not in the chain: it was cut off or replaced`);
      if (hash !== anchor.hash) throw new AuditFault(`${anchored} has another hash now: the chain was rewritten`);
    }
  }
}

/** Throws `usage_invalid`. A line that a crash tore is left out; a file without a whole line is none of anchors. */
async function readAnchors(path: string): Promise<AnchorLine[]> {
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new AiravataError("usage_invalid", `The anchors ${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  });
  const anchors = text.split("\n").flatMap((line) => parseAnchor(line) ?? []);
  if (anchors.length > 0) return anchors;
  throw new AiravataError(
    "usage_invalid",
    `${path} holds no anchor: lines of time, seal and hash, as AIRAVATA_AUDIT_ANCHOR has them.`,
  );
}
