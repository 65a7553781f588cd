/** Checks of the column groups in which tasks travel, and how many of them one frame may name. */
import { AHEAD_MAX, FAILED_TAIL_BYTES, FRAME_TASKS_MAX, OUTBOX_ATTEMPTS_MAX } from "../../model/constants.ts";
import {
  array,
  column,
  type Fields,
  integer,
  object,
  record,
  refuse,
  SENTENCE_LENGTH_MAX,
  text,
} from "./primitives.ts";

/**
 * Attempts that a hello may name: a full outbox, all that is held ahead, and 1,024 running ones (a runner each), twice
 * over for what ended while the outbox was already full. At 10 bytes each they are an eighth of a frame.
 */
export const HELD_ATTEMPTS_MAX = 2 * (OUTBOX_ATTEMPTS_MAX + AHEAD_MAX + 1_024);
const INDEX_MAX = 9_999_999;
const ORDINAL_MAX = 9_999;

/** Counts the tasks of a frame over its groups. */
interface Budget {
  left: number;
}

/** Groups of attempts, each checked further by `check`; together at most `tasksMax` tasks. */
export function attemptGroups(
  value: unknown,
  field: string,
  tasksMax: number,
  check?: (group: Fields, length: number) => void,
): void {
  const budget: Budget = { left: tasksMax };
  for (const item of array(value, field, tasksMax)) {
    const group = object(item, field);
    const length = attemptGroup(group, field);
    budget.left -= length;
    if (budget.left < 0) refuse(field, `at most ${tasksMax} tasks`);
    check?.(group, length);
  }
}

/** One group; returns its number of tasks. */
export function attemptGroup(group: Fields, field: string): number {
  integer(group.experiment, `${field}.experiment`, 1);
  integer(group.template, "template", 0, ORDINAL_MAX);
  const indexes = array(group.indexes, "indexes", HELD_ATTEMPTS_MAX);
  if (indexes.length === 0) refuse("indexes", "a list that is not empty");
  column(indexes, "indexes", indexes.length, 0, INDEX_MAX);
  column(group.attempts, "attempts", indexes.length, 1);
  return indexes.length;
}

export function heldColumns(group: Fields, length: number): void {
  column(group.phases, "phases", length, 0, 2);
  if (group.startedAtMs !== undefined) column(group.startedAtMs, "startedAtMs", length);
}

export function startedColumns(group: Fields, length: number): void {
  column(group.startedAtMs, "startedAtMs", length);
}

export function endColumns(group: Fields, length: number): void {
  column(group.outcomes, "outcomes", length, 0, 4);
  column(group.blames, "blames", length, 0, 14);
  column(group.exitCodes, "exitCodes", length, -1, 255);
  column(group.signals, "signals", length, 0, 255);
  column(group.startedAtMs, "startedAtMs", length);
  column(group.endedAtMs, "endedAtMs", length);
  column(group.cpuMs, "cpuMs", length);
  column(group.memoryMaxBytes, "memoryMaxBytes", length);
  if (group.readBytes !== undefined) column(group.readBytes, "readBytes", length);
  if (group.writtenBytes !== undefined) column(group.writtenBytes, "writtenBytes", length);
  sparse(group.tails, "tails", length, FAILED_TAIL_BYTES);
  sparse(group.details, "details", length, SENTENCE_LENGTH_MAX);
}

export function usageColumns(group: Fields, length: number): void {
  for (const field of USAGE_FIELDS) column(group[field], field, length);
}

const USAGE_FIELDS = ["cpuMs", "cpuPermille", "memoryBytes", "memoryPeakBytes", "readBytes", "writtenBytes"];

/** Texts by position in the group. */
function sparse(value: unknown, field: string, length: number, lengthMax: number): void {
  if (value === undefined) return;
  record(value, field, length, (item) => text(item, field, lengthMax));
  for (const position in value as Fields) {
    const at = Number(position);
    if (!(Number.isSafeInteger(at) && at >= 0 && at < length && String(at) === position)) {
      refuse(field, `keyed by positions below ${length}`);
    }
  }
}

export const TASKS_MAX = FRAME_TASKS_MAX;
