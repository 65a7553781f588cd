/**
 * The chain of the audit, computed from what stands in the database and from nothing that the database computes: the same
 * that an outsider does with an export. Pure.
 */
import { createHash } from "node:crypto";
import type { AuditLine, StoredSeal } from "../../store/audit-log.ts";

/** Where the check of the chain is: after this seal. */
export interface ChainPosition {
  seal: number;
  /** Hex. */
  hash: string;
}

/** What is wrong with it, and with what. */
export interface ChainFault {
  entry: number | null;
  seal: number | null;
  sentence: string;
}

export const CHAIN_START: ChainPosition = { seal: 0, hash: "0".repeat(64) };
const DIGEST_BYTES = 32;

/** The first thing that is wrong with the next seal; undefined when all is as it was sealed. */
export function sealFault(
  before: ChainPosition,
  seal: StoredSeal,
  lines: ReadonlyMap<number, string>,
): ChainFault | undefined {
  const of = { entry: null, seal: seal.seal };
  if (seal.seal !== before.seal + 1) {
    const sentence = `seal ${before.seal + 1} was removed: after seal ${before.seal} comes seal ${seal.seal}`;
    return { entry: null, seal: before.seal + 1, sentence };
  }
  if (seal.previous.toString("hex") !== before.hash) {
    return { ...of, sentence: `seal ${seal.seal} was changed: it does not follow the hash of seal ${before.seal}` };
  }
  if (seal.hash.toString("hex") !== sealHash(seal)) {
    return { ...of, sentence: `seal ${seal.seal} was changed: its hash is not that of what it holds` };
  }
  for (const [i, entry] of seal.entries.entries()) {
    const line = lines.get(entry);
    const sealed = `sealed at ${seal.at} in seal ${seal.seal}`;
    if (line === undefined) return { ...of, entry, sentence: `entry ${entry} was removed: it was ${sealed}` };
    if (digestOf(line) !== digestAt(seal, i)) {
      return { ...of, entry, sentence: `entry ${entry} was altered after it was ${sealed}` };
    }
  }
  return undefined;
}

/** What the hash of a seal must be. */
function sealHash(seal: Omit<StoredSeal, "hash">): string {
  const hash = createHash("sha256");
  hash.update(`airavata-audit-seal/1 ${seal.seal} ${seal.at} ${seal.previous.toString("hex")}\n`);
  hash.update(seal.entries.map((entry, i) => `${entry} ${digestAt(seal, i)}\n`).join(""));
  return hash.digest("hex");
}

export function byEntry(lines: readonly AuditLine[]): Map<number, string> {
  return new Map(lines.map(({ entry, line }) => [entry, line]));
}

function digestOf(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}

function digestAt({ digests }: Pick<StoredSeal, "digests">, i: number): string {
  return digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES).toString("hex");
}
