/**
 * Exit codes of the command line, derived from the HTTP status of an error so that both always agree:
 * 0 done · 1 failed · 2 not logged in or refused · 3 wrong usage, file or configuration · 4 the server cannot be reached
 * or is busy · 5 not found.
 */
export const Exit = { DONE: 0, FAILED: 1, REFUSED: 2, USAGE: 3, UNREACHABLE: 4, NOT_FOUND: 5 } as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** The exit code that an HTTP status stands for; a status below 400 is `DONE`. */
export function exitForStatus(status: number): Exit {
  if (status < 400) return Exit.DONE;
  if (status === 401 || status === 403) return Exit.REFUSED;
  if (status === 404) return Exit.NOT_FOUND;
  if (status === 429 || status >= 500) return Exit.UNREACHABLE;
  return Exit.USAGE;
}
