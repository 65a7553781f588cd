/**
 * Cuts messages that carry tasks in columns, so that senders may put together whatever has gathered: no frame names more
 * tasks than its receiver reads. Order is kept, and what a group says once (`leased`) goes with its first part.
 */
import { FRAME_TASKS_MAX } from "../model/constants.ts";
import { HELD_ATTEMPTS_MAX } from "./check/columns.ts";
import type { AttemptGroup, FromAgent, ToAgent } from "./messages.ts";

type Message = ToAgent | FromAgent;
type Grouped = Extract<Message, { groups: AttemptGroup[] }>;

/** What may be named in one frame of each kind. */
const TASKS_MAX: Record<Grouped["type"], number> = {
  leases: FRAME_TASKS_MAX,
  started: FRAME_TASKS_MAX,
  ended: FRAME_TASKS_MAX,
  metrics: FRAME_TASKS_MAX,
  ack: HELD_ATTEMPTS_MAX,
  recall: HELD_ATTEMPTS_MAX,
  cancel: HELD_ATTEMPTS_MAX,
};

/**
 * The message itself when it is within the limits, else its parts in order. `halve`: in two parts whatever its size, or
 * the message alone when it cannot be cut.
 */
export function splitMessage(message: Message, halve = false): Message[] {
  if (!("groups" in message)) return [message];
  const tasks = countTasks(message.groups);
  const tasksMax = halve ? Math.ceil(tasks / 2) : TASKS_MAX[message.type];
  if (tasks <= tasksMax && message.groups.length <= tasksMax) return [message];
  const parts = splitGroups<AttemptGroup>(message.groups, tasksMax);
  return parts.map((groups, i) => {
    const part = { ...message, groups } as Message;
    // What was refused is said once, and so is what is of the node.
    if (i > 0 && part.type === "ack") delete part.refused;
    if (i > 0 && part.type === "metrics") {
      delete part.node;
      delete part.gpus;
    }
    return part;
  });
}

/** Groups cut into lists of at most `tasksMax` tasks each. Columns are cut alike; keyed texts move to their new positions. */
function splitGroups<G extends AttemptGroup>(groups: readonly G[], tasksMax: number): G[][] {
  const lists: G[][] = [];
  let list: G[] = [];
  let room = tasksMax;
  for (const group of groups) {
    const length = group.indexes.length;
    for (let from = 0; from < length; ) {
      if (room === 0) {
        lists.push(list);
        list = [];
        room = tasksMax;
      }
      const to = Math.min(length, from + room);
      list.push(from === 0 && to === length ? group : sliceGroup(group, from, to));
      room -= to - from;
      from = to;
    }
  }
  if (list.length > 0) lists.push(list);
  return lists;
}

function countTasks(groups: readonly AttemptGroup[]): number {
  let tasks = 0;
  for (const group of groups) tasks += group.indexes.length;
  return tasks;
}

function sliceGroup<G extends AttemptGroup>(group: G, from: number, to: number): G {
  const length = group.indexes.length;
  const part: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(group)) {
    if (Array.isArray(value) && value.length === length) part[field] = value.slice(from, to);
    else if (field === "leased") {
      if (from === 0) part[field] = value;
    } else if (field === "tails" || field === "details") part[field] = sliceTexts(value, from, to);
    else part[field] = value;
  }
  return part as unknown as G;
}

function sliceTexts(texts: Record<string, string>, from: number, to: number): Record<string, string> {
  const part: Record<string, string> = {};
  for (const [position, text] of Object.entries(texts)) {
    const at = Number(position);
    if (at >= from && at < to) part[at - from] = text;
  }
  return part;
}
