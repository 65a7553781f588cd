/** A line of the file in which the heads of the audit's chain are anchored: time, number of the seal, its hash. */

export interface AnchorLine {
  /** When it was sealed, RFC 3339. */
  at: string;
  seal: number;
  /** Hex. */
  hash: string;
}

export function anchorText({ at, seal, hash }: AnchorLine): string {
  return `${at} ${seal} ${hash}`;
}

/** Undefined when the text is no whole line. */
export function parseAnchor(text: string): AnchorLine | undefined {
  const match = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (\d{1,15}) ([0-9a-f]{64})$/.exec(text.trim());
  return match ? { at: match[1] as string, seal: Number(match[2]), hash: match[3] as string } : undefined;
}
