/**
 * Frames to messages and back. Decoding looks at the size first, then at every declared length, then decodes, then checks
 * the message field by field; what it throws is a FrameError and nothing else. A message of a type that is not known is
 * no error here: the receiver answers it.
 */
import { Packr } from "msgpackr/pack";
import { Unpackr } from "msgpackr/unpack";
import { AiravataError } from "../error/error.ts";
import { FRAME_BYTES_MAX } from "../model/constants.ts";
import { FROM_AGENT_CHECKS } from "./check/from-agent.ts";
import { type Fields, object } from "./check/primitives.ts";
import { TO_AGENT_CHECKS } from "./check/to-agent.ts";
import { FrameError } from "./frame-error.ts";
import type { FromAgent, ToAgent } from "./messages.ts";
import { scanFrame } from "./scan.ts";
import { splitMessage } from "./split.ts";

/** A message from a newer program: answer `{type: "error", reaction: "none"}` and go on. */
export interface UnknownMessage {
  type: "unknown";
  /** What it called itself, cut to 64 characters. */
  name: string;
}

/** `skipValues` is documented but not typed: an optional field that is set to undefined is not sent at all. */
const PACK_OPTIONS = { useRecords: false, variableMapSize: true, skipValues: [undefined] };
const packr = new Packr(PACK_OPTIONS);
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: "number" });

/** A message to the agent, or what it is named when this program does not know it. Throws FrameError. */
export function decodeToAgent(frame: Uint8Array): ToAgent | UnknownMessage {
  return decode(frame, TO_AGENT_CHECKS) as ToAgent | UnknownMessage;
}

/** A message from the agent, or what it is named when this program does not know it. Throws FrameError. */
export function decodeFromAgent(frame: Uint8Array): FromAgent | UnknownMessage {
  return decode(frame, FROM_AGENT_CHECKS) as FromAgent | UnknownMessage;
}

/**
 * The frames of a message, none above the limit: usually one; a message with groups of tasks is cut until its parts
 * fit. Throws `frame_too_large` when a single task of it does not fit into a frame.
 */
export function encodeFrames(message: ToAgent | FromAgent): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const part of splitMessage(message)) encodeInto(part, frames);
  return frames;
}

function encodeInto(message: ToAgent | FromAgent, frames: Uint8Array[]): void {
  const frame = packr.pack(message);
  if (frame.length <= FRAME_BYTES_MAX) {
    frames.push(frame);
    return;
  }
  const halves = splitMessage(message, true);
  if (halves.length < 2) {
    throw new AiravataError(
      "frame_too_large",
      `a message "${message.type}" of ${frame.length} bytes does not fit into a frame of ${FRAME_BYTES_MAX}`,
    );
  }
  for (const half of halves) encodeInto(half, frames);
}

function decode(frame: Uint8Array, checks: Record<string, (message: Fields) => void>): unknown {
  if (frame.length > FRAME_BYTES_MAX) {
    throw new FrameError(`the frame has ${frame.length} bytes, at most ${FRAME_BYTES_MAX} are read`);
  }
  scanFrame(frame);
  let value: unknown;
  try {
    value = unpackr.unpack(frame);
  } catch (cause) {
    throw new FrameError("the frame is no MessagePack", cause);
  }
  const message = object(value, "message");
  const { type } = message;
  if (typeof type !== "string") throw new FrameError('"type" must be text');
  if (!Object.hasOwn(checks, type)) return { type: "unknown", name: type.slice(0, 64) };
  checks[type]?.(message);
  return message;
}
