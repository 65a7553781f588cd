/**
 * Who may do what is changed by the coordinator that leads, and by no other: what it remembers of that is then always
 * right.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { Dispatcher } from "../../dispatch/contract.ts";

/** Asked before anything is written. Throws `not_leading`. */
export function requireLeading(dispatcher: Pick<Dispatcher, "leadership">): void {
  const { leading, detail } = dispatcher.leadership();
  if (leading) return;
  throw new AiravataError("not_leading", `this coordinator does not lead (${detail}); try again in a few seconds`);
}
