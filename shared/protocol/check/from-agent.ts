/** One checker per message from the agent. The table is typed by the union: a new message does not compile without one. */
import { UPDATE_PHASES, VERSION_LENGTH_MAX } from "../../model/update.ts";
import type { FromAgent } from "../messages.ts";
import {
  attemptGroups,
  endColumns,
  HELD_ATTEMPTS_MAX,
  heldColumns,
  startedColumns,
  TASKS_MAX,
  usageColumns,
} from "./columns.ts";
import {
  array,
  type Fields,
  flag,
  integer,
  NAME_LENGTH_MAX,
  object,
  oneOf,
  PATH_LENGTH_MAX,
  refuse,
  SENTENCE_LENGTH_MAX,
  text,
} from "./primitives.ts";
import { capacity } from "./template.ts";
import { errorMessage } from "./to-agent.ts";

/** Outputs in one `listed`; the rest follows in further ones. */
const LISTED_MAX = 1_000;
/** −1: nothing at all, not even what fits. */
const AHEAD_MIN = -1;
const AHEAD_LIMIT = 1_000_000;
/** Four times as many as there are: room for newer programs. */
const NODE_FIGURES_MAX = 64;
/** As many as the agent's setting allows. */
const GPUS_MAX = 1_024;
const GPU_FIGURES = 3;

export const FROM_AGENT_CHECKS: Record<FromAgent["type"], (message: Fields) => void> = {
  hello(message) {
    integer(message.version, "version");
    integer(message.agent, "agent", 1);
    text(message.name, "name");
    text(message.proof, "proof");
    text(message.program, "program");
    text(message.hostname, "hostname");
    text(message.root, "root");
    capacity(message.capacity);
    lasts(message.lastsMs);
    flag(message.draining, "draining");
    attemptGroups(message.held, "held", HELD_ATTEMPTS_MAX, heldColumns);
    if (message.platform !== undefined) text(message.platform, "platform");
  },
  free(message) {
    integer(message.ahead, "ahead", AHEAD_MIN, AHEAD_LIMIT);
    lasts(message.lastsMs);
    flag(message.draining, "draining");
  },
  renew(message) {
    integer(message.sentAtMs, "sentAtMs");
  },
  started(message) {
    attemptGroups(message.groups, "groups", TASKS_MAX, startedColumns);
  },
  ended(message) {
    attemptGroups(message.groups, "groups", TASKS_MAX, endColumns);
  },
  metrics(message) {
    integer(message.atMs, "atMs");
    if (message.node !== undefined) figures(message.node, "node", NODE_FIGURES_MAX);
    if (message.gpus !== undefined) {
      for (const gpu of array(message.gpus, "gpus", GPUS_MAX)) {
        if (figures(gpu, "gpus", GPU_FIGURES) !== GPU_FIGURES) refuse("gpus", `lists of ${GPU_FIGURES} numbers`);
      }
    }
    attemptGroups(message.groups, "groups", TASKS_MAX, usageColumns);
  },
  chunk(message) {
    integer(message.request, "request");
    integer(message.offset, "offset");
    if (!(message.data instanceof Uint8Array)) refuse("data", "bytes");
    integer(message.totalBytes, "totalBytes");
    flag(message.end, "end");
    if (message.missing !== undefined) text(message.missing, "missing", SENTENCE_LENGTH_MAX);
  },
  listed(message) {
    integer(message.request, "request");
    for (const item of array(message.outputs, "outputs", LISTED_MAX)) {
      const output = object(item, "outputs");
      integer(output.index, "index", 0, 9_999_999);
      text(output.output, "output", NAME_LENGTH_MAX);
      text(output.path, "path", PATH_LENGTH_MAX);
      integer(output.sizeBytes, "sizeBytes");
    }
    if (message.problem !== undefined) text(message.problem, "problem", SENTENCE_LENGTH_MAX);
    flag(message.end, "end");
  },
  update_state(message) {
    integer(message.rollout, "rollout", 1);
    text(message.version, "version", VERSION_LENGTH_MAX);
    oneOf(message.phase, "phase", UPDATE_PHASES);
    text(message.message, "message", SENTENCE_LENGTH_MAX);
  },
  goodbye(message) {
    text(message.reason, "reason", SENTENCE_LENGTH_MAX);
  },
  error: errorMessage,
};

/** Finite numbers from −1 (not known) on; returns how many. */
function figures(value: unknown, field: string, lengthMax: number): number {
  const list = array(value, field, lengthMax);
  for (const item of list) {
    if (typeof item !== "number" || !(item >= -1 && item <= Number.MAX_SAFE_INTEGER)) {
      refuse(field, "a list of numbers from -1");
    }
  }
  return list.length;
}

function lasts(value: unknown): void {
  if (value !== null) integer(value, "lastsMs");
}
