/**
 * Globs of output files: `*`, `?`, `[a-z]`, `[!a]`, `**` for any depth, backslash to quote. Always relative and below the
 * task's directory. Matching runs all positions at once, so its work is at most pattern × path, whatever both are.
 */
type Token =
  | { kind: "char"; char: string }
  | { kind: "any" }
  | { kind: "set"; negated: boolean; ranges: [number, number][] }
  /** Any characters of one segment. */
  | { kind: "star" }
  /** Any number of whole segments: the `**` and the slash after it. */
  | { kind: "deep" }
  /** Everything below: the trailing `**`. */
  | { kind: "rest" };

export interface Glob {
  /** The one path it can match, when it has no wildcard; else null. */
  literal: string | null;
  /** Whether a relative path with `/` matches. A leading dot of a segment is matched only by a dot. */
  matches(path: string): boolean;
}

/** The glob, or a sentence that says why it cannot be one. */
export function parseGlob(pattern: string): Glob | { message: string } {
  const clean = pattern.replace(/^(\.\/)+/, "");
  const refuse = (why: string): { message: string } => ({ message: `${JSON.stringify(pattern.slice(0, 60))} ${why}` });
  if (clean === "") return refuse("names no file");
  if (clean.startsWith("/")) return refuse("is absolute; outputs are named relative to the task's directory");
  if (clean.endsWith("/")) return refuse("names a directory; write a glob of the files in it, for example results/**");
  const segments = clean.split("/");
  if (segments.some((segment) => segment === "..")) return refuse("leads out of the task's directory by ..");
  if (segments.some((segment) => segment === "" || segment === "."))
    return refuse("has an empty part or a single dot in its path");
  if (/\p{Cc}/u.test(clean)) return refuse("has a control character");
  const tokens: Token[] = [];
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === "**") {
      if (last) tokens.push({ kind: "rest" });
      else if (tokens.at(-1)?.kind !== "deep") tokens.push({ kind: "deep" });
      continue;
    }
    const parsed = parseSegment([...segment]);
    if ("message" in parsed) return refuse(parsed.message);
    tokens.push(...parsed.tokens);
    if (!last) tokens.push({ kind: "char", char: "/" });
  }
  const literal = tokens.every((token) => token.kind === "char")
    ? tokens.map((token) => (token as { char: string }).char).join("")
    : null;
  return { literal, matches: (path) => (literal === null ? run(tokens, path) : path === literal) };
}

function parseSegment(chars: string[]): { tokens: Token[] } | { message: string } {
  const tokens: Token[] = [];
  let i = 0;
  while (i < chars.length) {
    const c = chars[i] as string;
    if (c === "*") {
      if (tokens.at(-1)?.kind !== "star") tokens.push({ kind: "star" });
      i++;
    } else if (c === "?") {
      tokens.push({ kind: "any" });
      i++;
    } else if (c === "\\") {
      const next = chars[i + 1];
      if (next === undefined) return { message: "ends with a backslash" };
      tokens.push({ kind: "char", char: next });
      i += 2;
    } else if (c === "[") {
      const set = parseSet(chars, i);
      if ("message" in set) return set;
      tokens.push(set.token);
      i = set.next;
    } else {
      tokens.push({ kind: "char", char: c });
      i++;
    }
  }
  return { tokens };
}

function parseSet(chars: string[], start: number): { token: Token; next: number } | { message: string } {
  let i = start + 1;
  const negated = chars[i] === "!" || chars[i] === "^";
  if (negated) i++;
  const ranges: [number, number][] = [];
  for (let first = true; first || chars[i] !== "]"; first = false) {
    if (i >= chars.length) return { message: "has a [ without ]; write \\[ for the bracket itself" };
    if (chars[i] === "[" && chars[i + 1] === ":")
      return { message: "has a class such as [:alpha:], which is not known; write a-zA-Z" };
    if (chars[i] === "\\") i++;
    const low = chars[i]?.codePointAt(0);
    if (low === undefined) return { message: "has a [ without ]; write \\[ for the bracket itself" };
    let high = low;
    if (chars[i + 1] === "-" && chars[i + 2] !== "]" && chars[i + 2] !== undefined) {
      high = chars[i + 2]?.codePointAt(0) ?? low;
      i += 2;
    }
    if (high < low) return { message: "has a range that runs backwards" };
    ranges.push([low, high]);
    i++;
  }
  return { token: { kind: "set", negated, ranges }, next: i + 1 };
}

/** Walks the path once with the set of all token positions that fit so far. */
function run(tokens: Token[], path: string): boolean {
  if (path === "" || path.startsWith("/") || path.endsWith("/")) return false;
  let current = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  current[0] = 1;
  let segmentStart = true;
  for (const char of path) {
    // Positions that need no character: past a star, past a deep at a segment's start.
    for (let t = 0; t < tokens.length; t++) {
      if (!current[t]) continue;
      const kind = tokens[t]?.kind;
      if (kind === "star" || (kind === "deep" && segmentStart)) current[t + 1] = 1;
    }
    next.fill(0);
    let alive = false;
    const hidden = segmentStart && char === ".";
    for (let t = 0; t < tokens.length; t++) {
      const token = tokens[t] as Token;
      if (!current[t]) continue;
      const stays =
        token.kind === "star" ? char !== "/" && !hidden : (token.kind === "deep" || token.kind === "rest") && !hidden;
      const before = tokens[t - 1];
      const opens = before === undefined || before.kind === "deep" || (before.kind === "char" && before.char === "/");
      const steps =
        token.kind === "char"
          ? token.char === char && (!hidden || opens)
          : isOne(token) && char !== "/" && !hidden && inToken(token, char);
      if (stays) next[token.kind === "rest" ? t + 1 : t] = 1;
      if (stays && token.kind === "rest") next[t] = 1;
      if (steps) next[t + 1] = 1;
      alive ||= stays || steps;
    }
    if (!alive) return false;
    [current, next] = [next, current];
    segmentStart = char === "/";
  }
  let end = tokens.length;
  if (current[end]) return true;
  while (end > 0 && tokens[end - 1]?.kind === "star") if (current[--end]) return true;
  return false;
}

function isOne(token: Token): boolean {
  return token.kind === "any" || token.kind === "set";
}

function inToken(token: Token, char: string): boolean {
  if (token.kind !== "set") return true;
  const code = char.codePointAt(0) ?? 0;
  return token.ranges.some(([low, high]) => code >= low && code <= high) !== token.negated;
}
