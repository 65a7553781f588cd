/**
 * The agent's pure core seen from outside: `step(state, event, now)` returns effects. No I/O, no clock, no randomness of
 * its own. The shell (agent/agent.ts) and the simulation perform the effects and feed what happens back as events.
 *
 * Order of life: `adopted` once, then whatever happens, and `turn` whenever the shell has fed what it had: only a turn
 * starts tasks and sends gathered reports, so that a hundred ends cost one frame. `tick` no later than `state.wakeAtMono`.
 */
import type { AttemptKey } from "../../shared/model/ids.ts";
import type { Requirement } from "../../shared/model/requirement.ts";
import type { FromAgent, Reaction, ToAgent } from "../../shared/protocol/messages.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { RunnableAttempt } from "../run/attempt.ts";

/** Monotonic milliseconds decide; wall-clock milliseconds go into reports. */
export interface Now {
  mono: number;
  wall: number;
}

/** Messages that concern leases; the others are served by the session and update rooms and never come here. */
export type CoreMessage = Exclude<ToAgent, { type: "read" | "read_stop" | "list" | "update" }>;

/** An attempt that a former process of this agent had given to the runners, and whose end is not in the outbox. */
export interface AdoptedAttempt {
  key: string;
  need: Requirement;
  lane: number;
  devices: number[];
  /** Wall-clock milliseconds; 0 while it is queued behind another one in its lane. */
  startedAtMs: number;
}

export type AgentEvent =
  /**
   * First event of every process: what the state directory and the supervisor know. `collecting`: keys of attempts whose
   * process is over and whose `ended` will follow; `ended`: unacknowledged ends of the outbox.
   */
  | { type: "adopted"; running: AdoptedAttempt[]; collecting: string[]; ended: AttemptEnd[] }
  /** The socket asked for by `connect` is open; the coordinator speaks first. */
  | { type: "connected"; connection: number }
  /** That socket is closed, or could not be opened. */
  | { type: "disconnected"; connection: number; reason: string }
  | { type: "received"; connection: number; message: CoreMessage }
  /** Argv and environment stand ready. */
  | { type: "prepared"; key: string }
  /** They could not be made; the end says whose fault it is. */
  | { type: "prepare_failed"; end: AttemptEnd }
  /** The runner started the process. */
  | { type: "started"; key: string; startedAtMs: number }
  /** A `recall` was in time: the runner never started it. */
  | { type: "recalled"; key: string }
  /** The process is over and its tree is gone: lane and resources are free. `ended` follows once outputs are collected. */
  | { type: "exited"; key: string }
  /** What it came to; implies `exited`. */
  | { type: "ended"; end: AttemptEnd }
  /** While a reason is set nothing is started and nothing asked for: disk full, runners away, outbox not writable. */
  | { type: "hold"; reason: string | null }
  /** Finish what runs, give the rest back, leave. */
  | { type: "drain"; reason: string }
  | { type: "tick" }
  /** End of a loop turn. `writable` false: the socket's queue is full, reports wait. */
  | { type: "turn"; writable: boolean };

/** A hello before it is signed. */
export type UnsignedHello = Omit<Extract<FromAgent, { type: "hello" }>, "proof">;

export type AgentEffect =
  /** Open a socket after this delay; its events carry the number. Replaces a connect that is still waiting. */
  | { type: "connect"; connection: number; delayMs: number }
  /** Close that socket after what was sent; its later events are ignored. */
  | { type: "disconnect"; connection: number; reason: string }
  /** Sign `helloProofText(nonce, timeline, …)` and send. */
  | { type: "hello"; nonce: string; timeline: number; message: UnsignedHello }
  | { type: "send"; message: FromAgent }
  /** Make argv and environment; answered by `prepared` or `prepare_failed`. */
  | { type: "prepare"; lease: RunnableAttempt }
  /** Undo a preparation: it will not be run. */
  | { type: "discard"; lease: RunnableAttempt }
  /** Give it to the runner of its lane; answered by `started`, later `exited` and `ended`. */
  | { type: "run"; lease: RunnableAttempt }
  /** Take it back from its lane if not started; answered by `recalled`, or by nothing when it was too late. */
  | { type: "recall"; key: string; lane: number }
  /** End its whole tree: TERM, grace, KILL. Never waits behind a queued run. */
  | { type: "kill"; key: string; lane: number; graceMs: number; reason: string }
  /** Append to the outbox. Reports do not wait for it: until `forget` the runner keeps its own record of the end. */
  | { type: "persist"; ends: AttemptEnd[] }
  /** Drop outbox and runner records: acknowledged, refused for good or superseded. */
  | { type: "forget"; keys: string[] }
  /** Its end counts: make the readable link. */
  | { type: "publish"; attempt: AttemptKey }
  /**
   * Keep the timeline in the state directory, once everything forgotten so far is gone from the outbox. Until then the
   * next process takes what it finds for the former history's, which is safe.
   */
  | { type: "remember"; timeline: number }
  /** For the log: a stable code and a sentence. */
  | { type: "note"; code: string; message: string }
  /** Leave. `drained`: nothing is held; `revoked`: all was ended; otherwise the reaction that the coordinator demanded. */
  | { type: "exit"; reason: "drained" | "revoked" | Exclude<Reaction, "none" | "reconnect">; message: string };
