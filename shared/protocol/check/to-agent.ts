/** One checker per message to the agent. The table is typed by the union: a new message does not compile without one. */
import { RELEASE_BYTES_MAX, VERSION_LENGTH_MAX } from "../../model/update.ts";
import type { ToAgent } from "../messages.ts";
import { attemptGroup, attemptGroups, HELD_ATTEMPTS_MAX, TASKS_MAX } from "./columns.ts";
import {
  array,
  type Fields,
  flag,
  integer,
  object,
  oneOf,
  PATH_LENGTH_MAX,
  refuse,
  SENTENCE_LENGTH_MAX,
  text,
} from "./primitives.ts";
import { leasedTemplate, valuesRecord } from "./template.ts";

const REACTIONS = ["reconnect", "stop", "enrol", "none"];
/** Parents of one task, and tasks of one parent: both end at what a frame can hold. */
const PARENTS_MAX = 1_048_576;

export const TO_AGENT_CHECKS: Record<ToAgent["type"], (message: Fields) => void> = {
  challenge(message) {
    integer(message.version, "version");
    integer(message.versionOldest, "versionOldest");
    text(message.nonce, "nonce");
    integer(message.timeline, "timeline");
  },
  welcome(message) {
    integer(message.epoch, "epoch");
    integer(message.timeline, "timeline");
    // Below 100 ms no heartbeat could keep a session; a day is longer than any allocation waits for its agent.
    integer(message.ttlMs, "ttlMs", 100, 86_400_000);
    attemptGroups(message.superseded, "superseded", HELD_ATTEMPTS_MAX);
  },
  leases(message) {
    attemptGroups(message.groups, "groups", TASKS_MAX, leaseColumns);
  },
  ack(message) {
    attemptGroups(message.groups, "groups", HELD_ATTEMPTS_MAX);
    if (message.refused === undefined) return;
    let left = HELD_ATTEMPTS_MAX;
    for (const item of array(message.refused, "refused", HELD_ATTEMPTS_MAX)) {
      const refused = object(item, "refused");
      left -= attemptGroup(object(refused.group, "refused.group"), "refused.group");
      if (left < 0) refuse("refused", `at most ${HELD_ATTEMPTS_MAX} tasks`);
      text(refused.code, "code");
      text(refused.message, "message", SENTENCE_LENGTH_MAX);
    }
  },
  recall(message) {
    attemptGroups(message.groups, "groups", HELD_ATTEMPTS_MAX);
  },
  cancel(message) {
    attemptGroups(message.groups, "groups", HELD_ATTEMPTS_MAX);
    integer(message.graceMs, "graceMs", 0, 86_400_000);
    text(message.reason, "reason", SENTENCE_LENGTH_MAX);
  },
  drain(message) {
    text(message.reason, "reason", SENTENCE_LENGTH_MAX);
  },
  renewed(message) {
    integer(message.sentAtMs, "sentAtMs");
  },
  read(message) {
    integer(message.request, "request");
    const file = object(message.file, "file");
    integer(file.experiment, "file.experiment", 1);
    integer(file.template, "file.template", 0, 9_999);
    integer(file.index, "file.index", 0, 9_999_999);
    integer(file.attempt, "file.attempt", 1);
    if (file.stream !== undefined) oneOf(file.stream, "file.stream", ["stdout", "stderr"]);
    else text(file.path, "file.path", PATH_LENGTH_MAX);
    integer(message.offset, "offset");
    integer(message.limit, "limit");
    flag(message.follow, "follow");
  },
  read_stop(message) {
    integer(message.request, "request");
  },
  list(message) {
    integer(message.request, "request");
    const length = attemptGroup(object(message.group, "group"), "group");
    if (length > TASKS_MAX) refuse("group", `at most ${TASKS_MAX} tasks`);
  },
  update(message) {
    integer(message.rollout, "rollout", 1);
    text(message.version, "version", VERSION_LENGTH_MAX);
    if (typeof message.sha256 !== "string" || !/^[0-9a-f]{64}$/.test(message.sha256)) {
      refuse("sha256", "64 hexadecimal digits");
    }
    integer(message.sizeBytes, "sizeBytes", 1, RELEASE_BYTES_MAX);
    text(message.path, "path", PATH_LENGTH_MAX);
  },
  error: errorMessage,
};

export function errorMessage(message: Fields): void {
  text(message.code, "code");
  text(message.message, "message", SENTENCE_LENGTH_MAX);
  oneOf(message.reaction, "reaction", REACTIONS);
}

function leaseColumns(group: Fields, length: number): void {
  amountMs(group.medianMs);
  if (group.leased !== undefined) leasedTemplate(group.leased);
  if (group.values !== undefined) {
    const values = array(group.values, "values", TASKS_MAX);
    if (values.length !== length) refuse("values", `a list of ${length}, one per task`);
    for (const item of values) valuesRecord(item, "values");
  }
  if (group.parents === undefined) return;
  const parents = array(group.parents, "parents", TASKS_MAX);
  if (parents.length !== length) refuse("parents", `a list of ${length}, one per task`);
  for (const perTask of parents) {
    for (const perParent of array(perTask, "parents", PARENTS_MAX)) {
      for (const attempt of array(perParent, "parents", PARENTS_MAX)) integer(attempt, "parents");
    }
  }
}

function amountMs(value: unknown): void {
  if (typeof value !== "number" || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) {
    refuse("medianMs", "a number that is not negative");
  }
}
