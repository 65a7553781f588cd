/**
 * What is wrong with an experiment file: all problems at once, each with its place, a sentence and often a way out.
 */
import type { ErrorCode } from "../error/catalogue.ts";
import { AiravataError } from "../error/error.ts";
import { SPEC_PROBLEMS_MAX } from "../model/constants.ts";

/** Where something stands in the text, from 1; null when the spec came as an object. */
export interface Position {
  line: number | null;
  column: number | null;
}

export type SpecCode = Extract<ErrorCode, `spec_${string}`>;
export type SpecPath = readonly (string | number)[];

export interface SpecProblem extends Position {
  /** `tasks.dock.foreach[2]`; empty for the whole file. */
  path: string;
  code: SpecCode;
  message: string;
  hint?: string;
}

export interface SpecNote extends Position {
  path: string;
  message: string;
}

/** Refusal of an experiment file. `code` is that of its problems when they share one, else `spec_invalid`. */
export class SpecError extends AiravataError {
  override name = "SpecError";
  readonly problems: SpecProblem[];
  /** Also those beyond the ones that are listed. */
  readonly total: number;

  constructor(problems: SpecProblem[], total: number) {
    const codes = new Set(problems.map((problem) => problem.code));
    const [only] = codes;
    const first = problems[0];
    const more = total > 1 ? ` (and ${total - 1} more)` : "";
    super(codes.size === 1 && only ? only : "spec_invalid", `${first ? formatProblem(first) : "invalid"}${more}`, {
      data: { problems },
    });
    this.problems = problems;
    this.total = total;
  }
}

/** One line for people: `3:5 tasks.dock: unknown key …; hint`. Exported for tests. */
export function formatProblem(problem: SpecProblem): string {
  const place = problem.line === null ? "" : `${problem.line}:${problem.column} `;
  const path = problem.path === "" ? "" : `${problem.path}: `;
  return `${place}${path}${problem.message}${problem.hint ? `; ${problem.hint}` : ""}`;
}

function formatPath(path: SpecPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step.slice(0, 80))}]`;
  }
  return text;
}

/** Three times what is reported is kept, so that sorting by place shows the first ones, and memory stays bounded. */
const FOUND_MAX = SPEC_PROBLEMS_MAX * 3;

/** Gathers problems; knows which parts of the file are already found wrong, so that nothing is complained of twice. */
export class Problems {
  private readonly found: SpecProblem[] = [];
  private readonly seen = new Set<string>();
  private readonly damaged = new Set<string>();
  private readonly noted: SpecNote[] = [];
  private readonly locate: (path: SpecPath) => Position;

  constructor(locate: (path: SpecPath) => Position) {
    this.locate = locate;
  }

  /** Marks a part as known to be wrong, so that nothing more is said about it. */
  damage(path: SpecPath): void {
    for (let length = 0; length <= path.length; length++) this.damaged.add(JSON.stringify(path.slice(0, length)));
  }

  add(path: SpecPath, code: SpecCode, message: string, options: { hint?: string; at?: Position } = {}): void {
    this.damage(path);
    const at = options.at ?? this.locate(path);
    if (this.full) return;
    // Two tasks of one script find the same fault in it.
    const key = `${at.line}:${at.column}:${path.join(".")}:${message}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    const problem: SpecProblem = { ...at, path: formatPath(path), code, message };
    if (options.hint !== undefined) problem.hint = options.hint;
    this.found.push(problem);
  }

  note(path: SpecPath, message: string, at: Position = this.locate(path)): void {
    if (this.noted.length < SPEC_PROBLEMS_MAX) this.noted.push({ ...at, path: formatPath(path), message });
  }

  get notes(): SpecNote[] {
    return inOrder(this.noted);
  }

  /** Whether a problem stands at this path or below it. */
  touches(path: SpecPath): boolean {
    return this.damaged.has(JSON.stringify(path));
  }

  /** Whether more problems would not be reported anyway: finding their hints is not worth the work. */
  get full(): boolean {
    return this.found.length >= FOUND_MAX;
  }

  /** Throws all problems in the order of the text; returns when there are none. */
  throwIfAny(): void {
    if (this.found.length === 0) return;
    const sorted = inOrder(this.found);
    throw new SpecError(sorted.slice(0, SPEC_PROBLEMS_MAX), sorted.length);
  }
}

/** In the order of the text; what has no place comes first. */
function inOrder<T extends Position>(found: readonly T[]): T[] {
  const order = (each: T): number => (each.line ?? 0) * 1e7 + (each.column ?? 0);
  return found.toSorted((a, b) => order(a) - order(b));
}
