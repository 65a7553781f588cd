/**
 * Keeps secrets out of logs, by three rules: the name of a field, the form of a text, and the very values that the
 * process was configured with. It works on a copy; what is logged is never changed.
 */
const HIDDEN = "[hidden]";

/** Names whose values are never printed, whatever they are. */
const SECRET_NAME =
  /(^|[_-])(token|secret|password|passwd|authorization|cookie|credentials?|private_?key|api_?key|proof|nonce)$/i;
/** `camelCase` as `camel_case`, so that one pattern knows both. */
const CAMEL = /([a-z0-9])([A-Z])/g;

/** `scheme://user:password@host` and `Authorization: Bearer …` inside any text. */
const URL_PASSWORD = /\b([a-z][a-z0-9+.-]{0,30}:\/\/[^\s/:@]{0,200}):[^\s/@]{1,500}@/gi;
const BEARER = /\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}/gi;

/** Deeper values are printed as `…`: a log line is not a dump, and a cycle must not hang it. */
const DEPTH_MAX = 6;
const ITEMS_MAX = 100;
/** Shorter configured values would hide ordinary words. */
const SECRET_LENGTH_MIN = 6;

/** Whether a field of this name is hidden. */
function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.replace(CAMEL, "$1_$2"));
}

/** The text without passwords in URLs, bearer tokens and the given secret values. */
export function redactText(text: string, secrets: readonly string[] = []): string {
  let shown = text.replace(URL_PASSWORD, `$1:${HIDDEN}@`).replace(BEARER, `$1 ${HIDDEN}`);
  for (const secret of secrets) {
    if (secret.length >= SECRET_LENGTH_MIN) shown = shown.replaceAll(secret, HIDDEN);
  }
  return shown;
}

/** A copy fit for a log: secrets hidden, depth and number of items bounded, bytes by their size. */
export function redactValue(value: unknown, secrets: readonly string[] = [], depth = 0): unknown {
  if (typeof value === "string") return redactText(value, secrets);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "[invalid date]" : value.toISOString();
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (depth >= DEPTH_MAX) return "…";
  if (Array.isArray(value)) {
    const shown = value.slice(0, ITEMS_MAX).map((item) => redactValue(item, secrets, depth + 1));
    if (value.length > ITEMS_MAX) shown.push(`… ${value.length - ITEMS_MAX} more`);
    return shown;
  }
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value).slice(0, ITEMS_MAX)) {
    copy[name] = isSecretName(name) ? HIDDEN : redactValue(item, secrets, depth + 1);
  }
  return copy;
}
