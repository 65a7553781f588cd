/**
 * Durations and sizes as people write them in settings: `30s`, `1h`, `168h`, `500ms`, `1h30m`; `1MiB`, `64k`, `1000`.
 * Both return undefined for what is not one; the caller knows the field and says so.
 */
const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a duration; a bare `0` is zero, any other bare number is refused because its unit is a guess. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d{1,12}(\.\d{1,3})?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return Math.round(totalMs);
}

/** The shortest way to write milliseconds that `parseDuration` reads back: 90000 is `90s`, 3600000 is `1h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0";
  for (const unit of ["h", "m", "s"] as const) {
    const unitMs = UNIT_MS[unit] ?? 1;
    if (ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}

const UNIT_BYTES: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Bytes of a size; units are powers of 1024 however they are spelt (`k`, `KB`, `KiB`), as in the experiment file. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s?([kmgt]?)(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const bytes = Number(match[1]) * (UNIT_BYTES[(match[2] ?? "").toLowerCase()] ?? 1);
  return Number.isSafeInteger(Math.round(bytes)) ? Math.round(bytes) : undefined;
}

/** The shortest way to write bytes that `parseBytes` reads back: 1048576 is `1MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes === 0) return "0";
  for (const unit of ["t", "g", "m", "k"] as const) {
    const unitBytes = UNIT_BYTES[unit] ?? 1;
    if (bytes % unitBytes === 0) return `${bytes / unitBytes}${unit.toUpperCase()}iB`;
  }
  return String(bytes);
}
