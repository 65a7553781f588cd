/**
 * One agent's updates. Asked for a version it fetches and checks it beside the running program, hands over when all is
 * ready, and tells how far it is. A program on trial becomes the chosen one with its first welcome. One at a time; asked
 * again for the same, it says where that stands; asked for another, it drops the one before.
 */
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import type { Logger } from "../../shared/log/log.ts";
import type { UpdatePhase } from "../../shared/model/update.ts";
import type { FromAgent, ToAgent } from "../../shared/protocol/messages.ts";
import type { TlsFiles } from "../session/proxy.ts";
import { type KeeperNews, writePlan } from "./keeper.ts";
import { isSameFile, type LastUpdate, type ProgramFile, programFile, Releases } from "./releases.ts";

type Asked = Extract<ToAgent, { type: "update" }>;
type State = Extract<FromAgent, { type: "update_state" }>;

/** How this program is started, as far as that can be done again by another one. */
export interface OwnProgram {
  version: string;
  /** The one file that it is; undefined for a checkout, which cannot be replaced. */
  executable: string | undefined;
  /** What follows the program's name. */
  words: readonly string[];
}

export interface UpdaterOptions {
  stateDir: string;
  apiUrl: string;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
  own: OwnProgram;
  news: KeeperNews;
  /** A program on trial may be silent for so long. */
  trialMs: number;
  log: Logger;
  send(message: State): void;
  /** Ends this agent without ending its tasks; then the plan is carried out. */
  leave(version: string): void;
}

/** A program on trial that says that no coordinator answers is given so many times its trial. */
const ALONE_TRIALS = 30;
/** Signs of life of a program on trial, within the time that it may be silent. */
const SIGNS_PER_TRIAL = 4;
/** Progress of a download is told at most this often. */
const PROGRESS_MS = 2_000;

export class Updater {
  readonly releases: Releases;
  readonly #options: UpdaterOptions;
  #last: LastUpdate | undefined;
  /** This process is the program on trial. */
  #onTrial = false;
  #state: State | undefined;
  #fetching: { message: Asked; stop: AbortController } | undefined;
  #toldMono = 0;
  #proof: NodeJS.Timeout | undefined;

  constructor(options: UpdaterOptions) {
    this.#options = options;
    this.releases = new Releases(options.stateDir);
    this.#last = this.releases.last();
    if (this.#last?.phase === "HANDING_OVER") this.#afterHandingOver(this.#last);
    const last = this.#last;
    if (last !== undefined && last.phase !== "HANDING_OVER") this.#state = stateOf(last);
  }

  /** All is adopted, the first connection is being made. */
  started(): void {
    const { news, trialMs } = this.#options;
    if (!this.#onTrial) return;
    news.keeper?.say("up");
    // That no coordinator answers is not this program's fault; that its loop turns is all that silence tells.
    this.#proof = setInterval(() => news.keeper?.say("alone"), trialMs / SIGNS_PER_TRIAL);
    this.#proof.unref();
  }

  /** A session began. */
  welcomed(): void {
    if (this.#onTrial && this.#last !== undefined) {
      const { version, program, base } = this.#last;
      this.releases.choose({ version, program, base });
      this.#options.news.keeper?.say("healthy");
      clearInterval(this.#proof);
      this.#onTrial = false;
      this.#settle("HEALTHY", "");
      this.releases.keepOnly([program.path, this.#last.former.path]);
      this.#options.log.info("the new program has its session and stays", { version });
    }
    if (this.#state !== undefined) this.#options.send(this.#state);
  }

  /** The coordinator does not take this program. */
  refused(sentence: string): void {
    if (this.#onTrial) this.#options.news.keeper?.say(`failed ${sentence}`);
  }

  asked(message: Asked): void {
    const { own } = this.#options;
    const { version, rollout } = message;
    if (this.#fetching?.message.version === version) {
      // Perhaps by a later rollout: that is the one that waits for the answer.
      this.#fetching.message.rollout = rollout;
      if (this.#state !== undefined) this.#state = { ...this.#state, rollout };
      this.#repeat();
      return;
    }
    this.close();
    const { executable } = own;
    const self = executable === undefined ? undefined : programFile(executable);
    if (version === own.version) this.#tell(message, "HEALTHY", "");
    else if (self !== undefined) void this.#update(message, self);
    else {
      const why =
        "it runs from a checkout of the sources, which is no single file: update the checkout and start it again";
      this.#tell(message, "REFUSED", why);
    }
  }

  /** Drops what is being fetched; the next request takes it up again. */
  close(): void {
    clearInterval(this.#proof);
    this.#fetching?.stop.abort(new Error("the update was dropped"));
    this.#fetching = undefined;
  }

  async #update(message: Asked, self: ProgramFile): Promise<void> {
    const { version, path, sha256, sizeBytes } = message;
    const { apiUrl, env, tls, own, log } = this.#options;
    const stop = new AbortController();
    this.#fetching = { message, stop };
    const target = this.releases.programPath(sha256);
    log.info("updating", { from: own.version, to: version, size_bytes: sizeBytes });
    this.#tell(message, "DOWNLOADING", "");
    const progress = (bytes: number): void => {
      if (performance.now() - this.#toldMono < PROGRESS_MS) return;
      const text = `${(bytes / 1e6).toFixed(0)} of ${(sizeBytes / 1e6).toFixed(0)} MB`;
      this.#tell(message, "DOWNLOADING", text);
    };
    try {
      const { signal } = stop;
      // With HTTP it brings several MB that no agent needs otherwise.
      const { fetchProgram } = await import("./download.ts");
      await fetchProgram({ apiUrl, path, env, tls, target, version, sizeBytes, sha256, signal, progress });
      if (signal.aborted) return;
      this.#handOver(message, target, self);
    } catch (error) {
      if (stop.signal.aborted) return;
      const why = error instanceof AiravataError ? error.message : errorLine(error);
      log.warn("the update failed; this program goes on", { version, error });
      this.#tell(message, "FAILED", why);
    }
    if (this.#fetching?.stop === stop) this.#fetching = undefined;
  }

  #handOver(message: Asked, target: string, self: ProgramFile): void {
    const { version, rollout } = message;
    const { own, trialMs } = this.#options;
    const program = programFile(target) as ProgramFile;
    const chosen = this.releases.chosen() ?? null;
    const base = chosen !== null && self.path === chosen.program.path ? chosen.base : self;
    const former = { version: own.version, path: self.path };
    writePlan(this.releases, {
      candidate: program.path,
      former: former.path,
      silenceMs: trialMs,
      trialMs: trialMs * ALONE_TRIALS,
      words: own.words,
    });
    this.#last = { rollout, version, program, former, base, chosen, phase: "HANDING_OVER", message: "" };
    this.releases.saveLast(this.#last);
    this.#tell(message, "HANDING_OVER", "");
    this.#options.leave(version);
  }

  /** A process that finds an update at its trial is the program on trial, or the one that follows its failure. */
  #afterHandingOver(last: LastUpdate): void {
    const { news, own } = this.#options;
    const self = own.executable === undefined ? undefined : programFile(own.executable);
    if (news.failure === undefined && isSameFile(self, last.program)) {
      this.#onTrial = true;
      return;
    }
    // The trial ended between the choice and its note.
    if (news.failure === undefined && isSameFile(this.releases.chosen()?.program, last.program)) {
      this.#settle("HEALTHY", "");
      return;
    }
    this.releases.choose(last.chosen);
    const why = news.failure ?? "it was stopped, or its machine was, before it had a session";
    const sentence = `version ${last.version} did not come up, version ${own.version} runs again: ${why}`;
    this.#options.log.warn(sentence);
    this.#settle("ROLLED_BACK", sentence);
  }

  #settle(phase: UpdatePhase, message: string): void {
    if (this.#last === undefined) return;
    this.#last = { ...this.#last, phase, message };
    this.releases.saveLast(this.#last);
    this.#state = stateOf(this.#last);
  }

  #tell({ rollout, version }: Asked, phase: UpdatePhase, message: string): void {
    this.#state = { type: "update_state", rollout, version, phase, message };
    this.#repeat();
  }

  #repeat(): void {
    this.#toldMono = performance.now();
    if (this.#state !== undefined) this.#options.send(this.#state);
  }
}

function stateOf({ rollout, version, phase, message }: LastUpdate): State {
  return { type: "update_state", rollout, version, phase, message };
}
