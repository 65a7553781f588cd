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

  constructor(problems: SpecProblem[], total: number) {
    const codes = new Set(problems.map((problem) => problem.code));
    const [only] = codes;
    const first = problems[0];
    const more = total > 1 ? ` (and ${total - 1} more)` : "";
    super(codes.size === 1 && only ? only : "spec_invalid", `${first ? formatProblem(first) : "invalid"}${more}`, {
      data: { problems },
    });
    this.problems = problems;
  }
}

/** One line for people: `3:5 tasks.dock: unknown key …; hint`. */
export function formatProblem(problem: SpecProblem): string {
  const place = problem.line === null ? "" : `${problem.line}:${problem.column} `;
  const path = problem.path === "" ? "" : `${problem.path}: `;
  return `${place}${path}${problem.message}${problem.hint ? `; ${problem.hint}` : ""}`;
}

export function formatPath(path: SpecPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step.slice(0, 80))}]`;
  }
  return text;
}

/** Gathers problems; knows which parts of the file are already found wrong, so that nothing is complained of twice. */
export class Problems {
  private readonly found: SpecProblem[] = [];
  private readonly seen = new Set<string>();
  private readonly damaged = new Set<string>();
  readonly notes: SpecNote[] = [];
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
    // Ten times what is reported is kept, so that sorting by place shows the first ones, and memory stays bounded.
    if (this.found.length >= SPEC_PROBLEMS_MAX * 10) return;
    // Two tasks of one script find the same fault in it.
    const key = `${at.line}:${at.column}:${path.join(".")}:${message}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    const problem: SpecProblem = { ...at, path: formatPath(path), code, message };
    if (options.hint !== undefined) problem.hint = options.hint;
    this.found.push(problem);
  }

  note(path: SpecPath, message: string, at: Position = this.locate(path)): void {
    if (this.notes.length < SPEC_PROBLEMS_MAX) this.notes.push({ ...at, path: formatPath(path), message });
  }

  /** Whether a problem stands at this path or below it. */
  touches(path: SpecPath): boolean {
    return this.damaged.has(JSON.stringify(path));
  }

  get any(): boolean {
    return this.found.length > 0;
  }

  /** Throws all problems in the order of the text; returns when there are none. */
  throwIfAny(): void {
    if (this.found.length === 0) return;
    const order = (p: SpecProblem): number => (p.line ?? 0) * 1e7 + (p.column ?? 0);
    const sorted = this.found.sort((a, b) => order(a) - order(b));
    throw new SpecError(sorted.slice(0, SPEC_PROBLEMS_MAX), sorted.length);
  }
}
