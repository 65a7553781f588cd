/**
 * "Why is it not running?" answered from recorded facts: the task's state, its parents, its backoff, and for every agent
 * what is missing. Computed when asked; nothing is logged per decision. Agents and projects that the asker may not see are
 * not named; those that have his task are, as its attempts show them.
 */
import type { ExperimentId } from "../../shared/model/ids.ts";
import { misfits } from "../../shared/model/requirement.ts";
import { TASK_STATE_NAMES, TaskState } from "../../shared/model/states.ts";
import type { Reason, Seen } from "./contract.ts";
import type { AgentFloor, Core, Held } from "./core.ts";
import { namedAgent, OTHER, seesProject, shareReasons } from "./explain-share.ts";
import type { TaskClass } from "./floor/classes.ts";
import { lastsLongEnough, serves } from "./floor/fit.ts";
import { limitReasons } from "./floor/limits.ts";
import { BECAUSE, CANCELING, isMarked, stateOf, type TemplateLedger, taskName, templateAt } from "./ledger/ledger.ts";
import type { Now } from "./ports.ts";
import { waitsUntilWall } from "./sessions.ts";

/** Agents whose misfits are listed one by one. */
const AGENTS_LISTED_MAX = 20;

/** Reasons, most important first; empty when the experiment or task is not in memory. */
export function explainTask(
  core: Core,
  id: ExperimentId,
  ordinal: number,
  index: number,
  now: Now,
  seen: Seen,
): Reason[] {
  const template = core.ledger.experiments.get(id)?.templates[ordinal];
  if (!template || index < 0 || index >= template.count) return [];
  switch (stateOf(template, index)) {
    case TaskState.WAITING:
      return [...pausedReason(template), ...waitingReasons(template, index)];
    case TaskState.QUEUED:
      return queuedReasons(core, template, index, now, seen);
    case TaskState.LEASED:
      return leasedReasons(core, template, index, now);
    default:
      return endedReasons(template, index);
  }
}

function pausedReason(template: TemplateLedger): Reason[] {
  const { experiment } = template;
  if (!experiment.paused) return [];
  const message = `Experiment ${experiment.id} is PAUSED; resume it with "airavata experiment resume ${experiment.id}".`;
  return [{ code: "paused", message }];
}

function waitingReasons(template: TemplateLedger, index: number): Reason[] {
  const reasons: Reason[] = [];
  for (const ordinal of template.definition.foreach) {
    const parent = templateAt(template.experiment, ordinal);
    const state = stateOf(parent, index);
    if (state === TaskState.COMPLETED) continue;
    const message = `It needs task ${taskName(parent, index)}, which is ${TASK_STATE_NAMES[state]}.`;
    reasons.push({ code: "waiting_for_task", message, data: { task: taskName(parent, index) } });
  }
  for (const ordinal of template.definition.needs) {
    const parent = templateAt(template.experiment, ordinal);
    const missing = parent.count - (parent.counts[TaskState.COMPLETED] as number);
    if (missing === 0) continue;
    const message = `It needs all ${parent.count} tasks of ${parent.definition.name}; ${missing} have not completed.`;
    reasons.push({ code: "waiting_for_template", message, data: { template: parent.definition.name, missing } });
  }
  return reasons;
}

function queuedReasons(core: Core, template: TemplateLedger, index: number, now: Now, seen: Seen): Reason[] {
  const reasons = pausedReason(template);
  const held = core.held.get(template.base + index);
  if (held?.ghost) {
    const message = `${held.floor.name} still runs attempt ${held.attempt}, whose lease ran out; its result will count.`;
    reasons.push({ code: "still_running", message, data: { agent: held.floor.agent } });
    return reasons;
  }
  const notBefore = template.notBefore.get(index);
  if (notBefore !== undefined && core.backing.has(template.base + index)) {
    const tried = `${template.triedUser[index]} of ${template.definition.retries.max + 1} tries used`;
    const message = `It is tried again not before ${new Date(notBefore).toISOString()} (${tried}).`;
    reasons.push({ code: "backoff", message, data: { not_before: new Date(notBefore).toISOString() } });
  }
  const dueMono = core.backing.get(template.base + index);
  if (notBefore === undefined && dueMono !== undefined) {
    const left = Math.max(1, Math.ceil((dueMono - now.mono) / 1000));
    const message =
      `Attempt ${template.attempts[index]} may still run under the leave of the coordinator that led before; ` +
      `the task is given to an agent again in at most ${left} s.`;
    reasons.push({ code: "guarded_after_takeover", message, data: { seconds: left } });
  }
  const taskClass = core.classes.queueOf(template).class;
  reasons.push(...limitReasons(taskClass.project, taskClass.requirement));
  // What holds it back already is no agent's business; that it fits nowhere is worth knowing all the same.
  const heldBack = reasons.length > 0;
  reasons.push(...agentReasons(core, taskClass, template, now, heldBack, seen));
  return reasons;
}

function agentReasons(
  core: Core,
  taskClass: TaskClass,
  template: TemplateLedger,
  now: Now,
  heldBack: boolean,
  seen: Seen,
): Reason[] {
  const connected = [...core.peers.values()];
  if (connected.length === 0) {
    return [{ code: "no_agents", message: 'No agent is connected; start one with "airavata agent".' }];
  }
  const reasons: Reason[] = [];
  let busy = 0;
  let others = 0;
  for (const floor of connected) {
    if (!serves(floor, taskClass)) {
      others++;
      continue;
    }
    const reason = agentReason(core, floor, taskClass, now, seen);
    if (reason === null) busy++;
    else if (reasons.length < AGENTS_LISTED_MAX) reasons.push(reason);
  }
  if (others > 0) reasons.push(othersReason(others, taskClass));
  if (busy > 0 && !heldBack) {
    const message =
      `It waits its turn behind work of its project's share, or of higher priority or age in it ` +
      `(priority ${template.experiment.priority}): ` +
      `of ${connected.length} connected agents ${busy} can run it, with no room now.`;
    reasons.unshift(...shareReasons(core, taskClass, seen), { code: "agents_busy", message, data: { agents: busy } });
  }
  return reasons;
}

function othersReason(agents: number, { project }: TaskClass): Reason {
  const which = agents === 1 ? "1 connected agent serves" : `${agents} connected agents serve`;
  const message = `${which} other projects than ${project.config.name}.`;
  return { code: "other_project", message, data: { agents } };
}

/** Why this agent cannot take a task of the class; null when it only has no room now. */
function agentReason(core: Core, floor: AgentFloor, taskClass: TaskClass, now: Now, seen: Seen): Reason | null {
  const { name, data } = namedAgent(floor, seen);
  if (floor.state !== "READY") {
    return { code: "agent_draining", message: `${name} is ${floor.state} and takes nothing new.`, data };
  }
  if (taskClass.root !== null && taskClass.root !== floor.root) {
    const message = `${name} does not see the outputs that the task reads: they are on root ${taskClass.root}.`;
    return { code: "other_root", message, data };
  }
  const missing = misfits(taskClass.requirement, floor.capacity);
  if (missing.length > 0) {
    const parts = missing.map(({ what, needed, available }) => {
      const there = typeof available === "string" ? available : amountText(what, available);
      return `${amountText(what, needed)} needed, ${there} there`;
    });
    return {
      code: "does_not_fit",
      message: `${name} is too small: ${parts.join("; ")}.`,
      data: { ...data, missing },
    };
  }
  if (!lastsLongEnough(floor, taskClass, now)) {
    const left = Math.max(0, Math.round(((floor.lastsUntilMono ?? 0) - now.mono) / 1000));
    const message = `${name} lives ${left} s more, the task may take ${taskClass.requirement.wallSeconds} s.`;
    return { code: "not_enough_time", message, data };
  }
  if (core.reserved?.floor === floor && core.reserved.class !== taskClass) {
    const { project } = core.reserved.class;
    const whose =
      project === taskClass.project || seesProject(seen, project) ? `project ${project.config.name}` : OTHER;
    const message = `${name} is kept free for larger tasks of ${whose} that come first.`;
    return { code: "agent_kept_free", message, data };
  }
  return null;
}

/** `900 GiB of memory`, `2 gpus`, `label site x`. */
function amountText(what: string, amount: number | string): string {
  if (typeof amount === "string") return `${what} ${amount}`;
  if (!what.endsWith("_bytes")) return `${amount} ${what}`;
  return `${Math.round((amount / 2 ** 30) * 100) / 100} GiB of ${what.slice(0, -"_bytes".length)}`;
}

function leasedReasons(core: Core, template: TemplateLedger, index: number, now: Now): Reason[] {
  const held = core.held.get(template.base + index);
  const lease = template.leases.get(index);
  const floor = lease && core.agents.get(lease.agent);
  const name = floor?.name ?? `agent ${lease?.agent}`;
  const reasons: Reason[] = [];
  if (isMarked(template, index, CANCELING)) {
    reasons.push({ code: "canceling", message: `It was canceled; ${name} has been told to end it.` });
  }
  if (floor && floor.peer === null) {
    const left = Math.round((floor.deadlineMono - now.mono) / 1000);
    const message =
      left > 0 ? `${name} is not connected; its lease runs out in ${left} s.` : lostText(name, template, held, now);
    reasons.push({ code: "agent_away", message, data: { agent: floor.agent } });
  }
  const since = lease ? new Date(lease.sinceMs).toISOString() : "unknown";
  const how = held?.ahead ? "holds it for when room comes" : "has it";
  reasons.push({ code: "leased", message: `${name} ${how} as attempt ${template.attempts[index]} since ${since}.` });
  return reasons;
}

function lostText(name: string, template: TemplateLedger, held: Held | undefined, now: Now): string {
  const until = held === undefined ? Number.NEGATIVE_INFINITY : waitsUntilWall(held);
  if (until <= now.wall) return `${name} is lost; the task is being taken back.`;
  const bound = Number.isFinite(until) ? `until ${new Date(until).toISOString()} ` : "";
  const id = template.experiment.id;
  return `${name} is lost; the experiment waits ${bound}for it (on_disconnect: wait). To run it elsewhere, cancel and retry it: "airavata task cancel ${id}/${template.definition.name}/${held?.index}".`;
}

function endedReasons(template: TemplateLedger, index: number): Reason[] {
  const state = stateOf(template, index);
  if (state === TaskState.COMPLETED) {
    return [{ code: "completed", message: `Attempt ${template.attempts[index]} completed and counts.` }];
  }
  if (state === TaskState.CANCELED) {
    const message = isMarked(template, index, BECAUSE)
      ? "It was canceled because tasks that it depends on, or too many others, failed; retrying those reopens it."
      : "It was canceled by a person.";
    return [{ code: isMarked(template, index, BECAUSE) ? "dependency" : "canceled", message }];
  }
  const used = `${template.triedUser[index]} of ${template.definition.retries.max + 1} tries used`;
  const site = template.triedInfrastructure[index] ?? 0;
  const beside = site > 0 ? `, and ${site} more that the site spoilt` : "";
  return [{ code: "failed", message: `It failed for good: ${used}${beside}.` }];
}
