/**
 * What an end of the runner means: outcome and blame, decided from the cause it names, the step that failed, and what is
 * known of disk and memory at that moment. Pure.
 */
import { constants } from "node:os";
import { Blame, Outcome } from "../../shared/model/attempt.ts";
import type { AttemptEnd } from "../report/end.ts";
import type { EndedEvent } from "./supervisor/contract.ts";

/** What the machine showed when the task ended. */
export interface Evidence {
  /** The kernel has killed something for memory in our cgroup since we last looked. */
  oomKilled: boolean;
  /** Free bytes below the output directory; undefined when not looked at. */
  freeBytes: number | undefined;
}

/** A disk with less is full: a task that failed then most likely failed for it. */
const DISK_FULL_BYTES = 256 * 1024;

const { errno: ERRNO, signals: SIGNALS } = constants;
/** Errors of a start that the program's file or arguments cause; every other one is the site's. */
const EXEC_FAULTS: number[] = [
  ERRNO.ENOENT,
  ERRNO.EACCES,
  ERRNO.ENOEXEC,
  ERRNO.E2BIG,
  ERRNO.ENOTDIR,
  ERRNO.EISDIR,
  ERRNO.ELOOP,
  ERRNO.ENAMETOOLONG,
  ERRNO.EPERM,
];
/** Errors of keeping output that a task causes by what it does in its own directory. */
const OWN_FAULTS: number[] = [ERRNO.ENOENT, ERRNO.EEXIST, ERRNO.ENOTDIR, ERRNO.EISDIR, ERRNO.ELOOP];
const DISK_FAULTS: number[] = [ERRNO.ENOSPC, ERRNO.EDQUOT, ERRNO.EIO, ERRNO.EROFS];

type Verdict = Pick<AttemptEnd, "outcome" | "blame"> & { detail?: string };

/** The end of attempt `key`, outputs not looked at yet. */
export function attemptEnd(key: string, event: EndedEvent, evidence: Evidence): AttemptEnd {
  const { outcome, blame, detail } = verdict(event, evidence);
  const end: AttemptEnd = {
    key,
    outcome,
    blame,
    exitCode: event.exitCode ?? -1,
    signal: event.signal ?? 0,
    startedAtMs: whole(event.startedAtMs),
    endedAtMs: whole(event.endedAtMs),
    cpuMs: whole(event.cpuMs),
    memoryMaxBytes: whole(event.maxRssBytes),
  };
  if (event.readBytes > 0) end.readBytes = event.readBytes;
  if (event.writtenBytes > 0) end.writtenBytes = event.writtenBytes;
  const left =
    event.leftBehind > 0 ? `${event.leftBehind} of its processes could not be ended within ten seconds` : undefined;
  const sentence = [detail, left].filter((part) => part !== undefined).join("; ");
  if (sentence !== "") end.detail = sentence;
  return end;
}

/** Whether the machine must be asked for evidence: nothing else needs it, and most ends are good. */
export function needsEvidence(event: EndedEvent): boolean {
  return event.cause === "signal" || (event.cause === "exit" && event.exitCode !== 0);
}

function verdict(event: EndedEvent, evidence: Evidence): Verdict {
  const failed = (blame: Blame, detail?: string): Verdict =>
    detail === undefined ? { outcome: Outcome.FAILED, blame } : { outcome: Outcome.FAILED, blame, detail };
  const { freeBytes } = evidence;
  const diskFull = freeBytes !== undefined && freeBytes < DISK_FULL_BYTES;
  switch (event.cause) {
    case "exit":
      if (event.exitCode === 0) return { outcome: Outcome.COMPLETED, blame: Blame.NONE };
      if (diskFull) return failed(Blame.DISK, `it failed while the disk had ${freeBytes} bytes left`);
      return failed(Blame.EXIT);
    case "signal":
      if (event.signal === SIGNALS.SIGKILL && evidence.oomKilled) {
        return failed(Blame.OOM, `killed for memory; its largest process had ${event.maxRssBytes} bytes`);
      }
      if (diskFull) return failed(Blame.DISK, `it failed while the disk had ${freeBytes} bytes left`);
      return failed(Blame.SIGNAL);
    case "timeout":
      return failed(Blame.TIMEOUT);
    case "killed":
      return { outcome: Outcome.CANCELED, blame: Blame.CANCELED };
    case "disk":
      return outputVerdict(event, failed);
    case "runner_lost":
      return failed(Blame.RUNNER_LOST, "the process that ran it died; what it had started was ended");
    case "spawn":
      return spawnVerdict(event, failed);
  }
}

function outputVerdict(event: EndedEvent, failed: (blame: Blame, detail: string) => Verdict): Verdict {
  const name = errorName(event.errno);
  if (DISK_FAULTS.includes(event.errno)) return failed(Blame.DISK, `its output could not be kept (${name})`);
  if (OWN_FAULTS.includes(event.errno)) {
    const why = "it removed its directory, or has files named .stdout and .stderr there itself";
    return failed(Blame.OUTPUT, `its output could not be kept (${name}): ${why}`);
  }
  return failed(Blame.AGENT, `its output could not be kept (${event.stage}: ${name})`);
}

function spawnVerdict(event: EndedEvent, failed: (blame: Blame, detail: string) => Verdict): Verdict {
  const name = errorName(event.errno);
  if (DISK_FAULTS.includes(event.errno)) return failed(Blame.DISK, `it could not be started (${event.stage}: ${name})`);
  if (event.stage === "exec" && EXEC_FAULTS.includes(event.errno)) {
    return failed(Blame.SPAWN, `the command could not be started: ${SENTENCES[name] ?? name}`);
  }
  return failed(Blame.AGENT, `this machine could not start it (${event.stage}: ${name})`);
}

const SENTENCES: Record<string, string> = {
  ENOENT: "there is no such program (ENOENT)",
  EACCES: "the file is not executable (EACCES)",
  ENOEXEC: "the file is no program for this machine (ENOEXEC)",
  E2BIG: "its arguments and environment are too large (E2BIG)",
};

/** `ENOSPC` for 28. */
function errorName(number: number): string {
  for (const [name, value] of Object.entries(ERRNO)) if (value === number) return name;
  return `error ${number}`;
}

/** Reports carry whole numbers; a clock that was set back must not make one negative. */
function whole(value: number): number {
  return Math.max(0, Math.round(value));
}
