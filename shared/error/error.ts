/**
 * The one error class of the system: a stable code, a sentence that a person can act on, data for programs, a cause.
 * The sentence names both sides of a refusal and never repeats its cause; who prints it prints the chain (`causeChain`).
 */
import { CATALOGUE, type ErrorCode } from "./catalogue.ts";

interface AiravataErrorOptions {
  cause?: unknown;
  /** What a program may want to read: names and numbers, never a secret. */
  data?: Record<string, unknown>;
}

export class AiravataError extends Error {
  override name = "AiravataError";
  readonly code: ErrorCode;
  readonly data: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: AiravataErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.data = options.data ?? {};
  }

  /** HTTP status of its code. */
  get status(): number {
    return CATALOGUE[this.code].status;
  }

  /** Whether the same request may succeed later without a change. */
  get retryable(): boolean {
    return CATALOGUE[this.code].retryable;
  }
}

/** One link of a chain of causes. */
export interface ErrorLink {
  name: string;
  message: string;
  /** Our code, or the code of Node or PostgreSQL where there is one. */
  code?: string;
}

/** Longer chains are cut: a cycle of causes must not hang who prints it. */
const CHAIN_LINKS_MAX = 10;

/** The error and its causes, outermost first. Whatever is thrown is understood; an AggregateError's first error is its cause. */
export function causeChain(error: unknown): ErrorLink[] {
  const links: ErrorLink[] = [];
  let current = error;
  while (current !== undefined && current !== null && links.length < CHAIN_LINKS_MAX) {
    if (!(current instanceof Error)) {
      links.push({ name: typeof current, message: String(current) });
      break;
    }
    const code = (current as { code?: unknown }).code;
    const link: ErrorLink = { name: current.name, message: current.message };
    if (typeof code === "string" || typeof code === "number") link.code = String(code);
    links.push(link);
    current = current.cause ?? (current instanceof AggregateError ? current.errors[0] : undefined);
  }
  return links;
}

/** The chain as one line for a terminal: `sentence (caused by: sentence; caused by: …)`. */
export function errorLine(error: unknown): string {
  const [first, ...rest] = causeChain(error).map((link) => link.message || link.code || link.name);
  if (first === undefined) return "unknown error";
  return rest.length === 0 ? first : `${first} (caused by: ${rest.join("; caused by: ")})`;
}
