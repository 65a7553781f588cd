/** What the core knows of templates: sent once a session, kept with their requirement and usual run time. */
import { Outcome } from "../../shared/model/attempt.ts";
import { misfits, type Requirement } from "../../shared/model/requirement.ts";
import type { LeaseGroup } from "../../shared/protocol/messages.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { AgentState, HeldTemplate } from "./state.ts";

/** Weight of the newest run in our own average of a template's run time. */
const RUN_TIME_WEIGHT = 0.2;

/** The template of a group; undefined when this session was never sent it. */
export function templateOf(state: AgentState, group: LeaseGroup): HeldTemplate | undefined {
  const name = `${group.experiment}.${group.template}`;
  let of = state.templates.get(name);
  if (of === undefined) {
    if (group.leased === undefined) return undefined;
    of = { leased: group.leased, need: group.leased.definition.requires, medianMs: 0 };
    state.templates.set(name, of);
  }
  if (group.medianMs > 0) of.medianMs = group.medianMs;
  return of;
}

/** Why this machine, even when idle, cannot run it; the coordinator should have known. */
export function refusalOf(state: AgentState, need: Requirement): string | undefined {
  const [misfit] = misfits(need, state.options.capacity);
  if (misfit === undefined) return undefined;
  return `it needs ${misfit.what} ${misfit.needed} and this agent has ${misfit.available}`;
}

/** The coordinator's median is better and replaces our average with the next leases. */
export function learnRunTime(of: HeldTemplate, report: AttemptEnd): void {
  if (report.outcome !== Outcome.COMPLETED) return;
  const runMs = Math.max(1, report.endedAtMs - report.startedAtMs);
  of.medianMs = of.medianMs === 0 ? runMs : of.medianMs + (runMs - of.medianMs) * RUN_TIME_WEIGHT;
}
