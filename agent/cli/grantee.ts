/** People and groups as they are named on the command line: `alice`, `group:lab`; and how lists of them are shown. */
import type { Share } from "../../shared/api/grant.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { humanTime } from "./format.ts";
import { type Invocation, printJson } from "./invocation.ts";
import { type Column, renderTable } from "./table.ts";

const GROUP = "group:";

/** As the API takes it. Throws `usage_invalid`. */
function granteeOf(word: string): { user: string } | { group: string } {
  const name = word.startsWith(GROUP) ? word.slice(GROUP.length) : word;
  if (!/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$/.test(name)) {
    throw new AiravataError("usage_invalid", `"${word}" names nobody: write a username, or group:NAME.`);
  }
  return name === word ? { user: name } : { group: name };
}

/** As it is typed. */
export function granteeWord({ type, name }: Share["with"]): string {
  return type === "group" ? `${GROUP}${name}` : name;
}

/** All words but the first, one call each, in their order; resolves with the last answer. */
export async function eachGrantee<T>(
  invocation: Pick<Invocation, "args">,
  call: (who: { user: string } | { group: string }) => Promise<T>,
): Promise<T> {
  // All are read before the first is given anything.
  const given = invocation.args.slice(1).map((word) => granteeOf(word ?? ""));
  let answer: T | undefined;
  for (const who of given) answer = await call(who);
  return answer as T;
}

export function printShares(invocation: Invocation, shares: { items: Share[] }): undefined {
  if (invocation.json) return printJson(invocation, shares) as undefined;
  const columns: Column<Share>[] = [
    { title: "WITH", value: (share) => granteeWord(share.with), whole: true },
    { title: "ACCESS", value: (share) => share.access },
    { title: "SINCE", value: (share) => humanTime(share.since), whole: true, optional: true },
  ];
  invocation.out.write(renderTable(columns, shares.items, invocation.out, "Shared with nobody."));
}
