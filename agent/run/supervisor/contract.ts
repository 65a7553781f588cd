/**
 * What the agent asks of its runners and hears from them. The processes behind it (one runner per lane, one supervisor
 * per state directory) outlive the agent; what they hold is found again by the next `openSupervisor` on that directory.
 */

/** Why a task's process is over. */
export type EndCause =
  /** It exited by itself. */
  | "exit"
  /** A signal ended it that neither the agent nor the time limit sent. */
  | "signal"
  /** Its wall time was over; kept by the runner even while no agent lives. */
  | "timeout"
  /** `kill` was asked for; also of a run that was still queued (then `startedAtMs` is 0). */
  | "killed"
  /** It could not be started: see `stage` and `errno`. */
  | "spawn"
  /** Its output, or the record of its start, could not be written. */
  | "disk"
  /** Its runner died. Whatever it had started has been ended before this is told. It may have run in part. */
  | "runner_lost";

/** Which step failed when a task could not be started or its output not be kept. */
export type EndStage =
  | "setsid"
  | "cgroup"
  | "rlimit"
  | "chdir"
  | "stdio"
  | "exec"
  | "fork"
  | "pipe"
  | "output"
  | "record"
  | "folder";

export interface RunLimit {
  /** Number of the resource (`RLIMIT_*` of Linux: 0 cpu seconds, 1 file size, 4 core, 7 open files, 9 address space …). */
  resource: number;
  soft: number | bigint;
  hard: number | bigint;
}

export interface RunRequest {
  /** Names the run between agent, runner and records: at most 200 bytes, never used twice in a state directory. */
  key: string;
  /** Exactly what the program gets. Without a slash in its first string the PATH of `env` is searched. */
  argv: readonly (string | Uint8Array)[];
  /** "NAME=value", all of it: nothing is inherited. */
  env: readonly (string | Uint8Array)[];
  /** Absolute; must exist unless it is made. */
  cwd: string;
  /**
   * The runner makes `cwd` and the folder it is in (what that one is in must exist). Left empty with its rights it
   * becomes the folder of the lane's next task, so that silent tasks cost no folder; `folderEmpty` tells.
   */
  makeFolder?: boolean;
  /**
   * Absolute paths of files that are made (and must not exist) only when a stream outgrows the record; their folders
   * must exist. "": no file, what is beyond the record is counted and dropped.
   */
  stdoutPath: string;
  stderrPath: string;
  /** Kept of each stream, half head, half tail; at least 4096. */
  outputLimitBytes: number;
  /** Up to so many bytes of each stream stand in the record and need no file: at most 4096, which is the default. */
  inlineLimitBytes?: number;
  /** Wall-clock limit in milliseconds on the runner's monotonic clock, 0 for none. */
  wallMs: number;
  /** Between TERM and KILL when the runner ends the task by itself (time limit, full disk). */
  graceMs: number;
  rlimits?: readonly RunLimit[];
  /** `cgroup.procs` (or `tasks`) file that the process writes itself into before it becomes the program. */
  cgroupProcs?: string;
}

/** A run that the runners hold: from a former agent process, or of this one after a reconnect. */
export interface HeldRun {
  key: string;
  lane: number;
  phase: "queued" | "running";
  /** 0 while queued. */
  pid: number;
  /** Field 22 of /proc/PID/stat: with the boot id it says for certain which process that was. */
  startTicks: number;
  /** Wall-clock milliseconds, 0 while queued. */
  startedAtMs: number;
}

export interface StreamEnd {
  /** Written by the task, kept or not. */
  bytes: number;
  /** All that was kept, when it fitted into the record (4096 bytes); null when it is in the file. */
  inline: Buffer | null;
  /** True when something was left out. */
  truncated: boolean;
}

export interface StartedEvent {
  type: "started";
  key: string;
  lane: number;
  pid: number;
  startTicks: number;
  startedAtMs: number;
}

export interface EndedEvent {
  type: "ended";
  key: string;
  lane: number;
  cause: EndCause;
  /** null unless it exited by itself. */
  exitCode: number | null;
  /** Number of the signal that ended it, null when none did. */
  signal: number | null;
  stage: EndStage | null;
  /** Linux errno that goes with `stage`, 0 when there is none. */
  errno: number;
  /** 0 when it never started. */
  startedAtMs: number;
  endedAtMs: number;
  durationMs: number;
  /** User and system time of every process of its tree that was waited for. */
  cpuMs: number;
  /** Largest resident set of one of its processes. */
  maxRssBytes: number;
  /** From and to storage, by every process of its tree that was waited for; 0 too when its runner is too old to say. */
  readBytes: number;
  writtenBytes: number;
  stdout: StreamEnd;
  stderr: StreamEnd;
  coreDumped: boolean;
  /** Nothing was left in the folder that was made for it, and it is there no longer. */
  folderEmpty: boolean;
  /** Processes that SIGKILL did not end within ten seconds; the supervisor keeps trying. */
  leftBehind: number;
}

export type RunEvent =
  | StartedEvent
  /** Told until `acknowledge`: by this process once, by the next process again (in `adopted.ended`). */
  | EndedEvent
  /** Runners or supervisor cannot be reached or started; the client keeps trying and nothing is lost meanwhile. */
  | { type: "unavailable"; reason: string }
  /** All is well again. */
  | { type: "available" };

export interface OutputWindow {
  /** Where `data` begins: later than asked for when the bytes before were left out. */
  offset: number;
  data: Buffer;
  /** Bytes the task has written so far. */
  totalBytes: number;
}

export interface SupervisorOptions {
  /** Made when missing, mode 0700. One agent at a time. */
  stateDir: string;
  /** The program `airavata-runner`. */
  runnerPath: string;
  /** Most tasks that run at once, 1 to 1024: lanes are numbered from 0. */
  lanes: number;
  /** Called synchronously while a batch of records is decoded; `run` and `acknowledge` called in it share one write. */
  onEvent(event: RunEvent): void;
}

export interface Supervisor {
  /** What was there already when this process came: the agent must expect these keys. */
  readonly adopted: { running: HeldRun[]; ended: EndedEvent[] };
  readonly supervisorPid: number;
  /**
   * Hands a run to a lane. It starts when what the lane holds is over: at most one runs, up to `LANE_QUEUE_MAX` wait.
   * Throws `run_invalid` when it cannot be said to a runner, or when its key is held already.
   */
  run(lane: number, request: RunRequest): void;
  /** Ends its whole tree: TERM, `graceMs`, KILL, and looks again; a queued run is dropped. False: the key is not held. */
  kill(key: string, graceMs: number): Promise<boolean>;
  /** Takes a run back that has not started. False: too late, or not held. No event follows a true. */
  recall(key: string): Promise<boolean>;
  /** The end is safe elsewhere: runners forget it. Unknown keys are ignored. */
  acknowledge(key: string): void;
  /** What a running task has written; null when it does not run. `maxBytes` at most 65536. */
  readOutput(key: string, stream: "stdout" | "stderr", offset: number, maxBytes: number): Promise<OutputWindow | null>;
  /**
   * Lets go: tasks run on. With `stop` the supervisor and its runners leave as soon as nothing runs; resolves when they
   * have left, or after `waitMs` (default 0).
   */
  close(options?: { stop?: boolean; waitMs?: number }): Promise<void>;
}
