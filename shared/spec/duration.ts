/** Times as people write them in an experiment file: `H:MM:SS`, `90s`, `30m`, `1d 2h`. Whole seconds, at most 400 days. */
const UNIT_SECONDS: Record<string, number> = { d: 86_400, h: 3_600, m: 60, s: 1 };
/** Longer than any site's queue allows; keeps every sum far below 2^31 seconds. */
const SECONDS_MAX = 400 * 86_400;

/** Seconds, or a sentence that says what is wrong. */
export function parseDuration(text: string): number | { message: string } {
  const wrong = {
    message: `${JSON.stringify(text.slice(0, 40))} is not a time; write 0:30:00, 90s, 30m, 2h or "1d 2h"`,
  };
  let seconds = 0;
  const clock = /^(\d{1,6}):([0-5]\d):([0-5]\d)$/.exec(text);
  if (clock) seconds = Number(clock[1]) * 3_600 + Number(clock[2]) * 60 + Number(clock[3]);
  else {
    if (!/^\d{1,9}[dhms]( ?\d{1,9}[dhms]){0,3}$/.test(text)) return wrong;
    let last = Number.POSITIVE_INFINITY;
    for (const [, amount, unit] of text.matchAll(/(\d+)([dhms])/g)) {
      const size = UNIT_SECONDS[unit ?? ""] ?? 0;
      if (size >= last) return wrong;
      last = size;
      seconds += Number(amount) * size;
    }
  }
  if (seconds < 1) return { message: "a time of 0 lets no task run; write at least 1s" };
  if (seconds > SECONDS_MAX) return { message: `${text} is longer than the longest time, 400d` };
  return seconds;
}
