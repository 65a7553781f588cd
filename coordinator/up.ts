/**
 * `airavata up`: everything on one machine. PostgreSQL, the coordinator and a local agent below one data directory, in
 * that order; each is started again when it dies, and all of them end with this process. What the agent runs lives on
 * under its supervisor and is adopted by the next `up`.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startEmbedded } from "../db/embedded.ts";
import { AiravataError } from "../shared/error/error.ts";
import type { Logger } from "../shared/log/log.ts";
import type { SettingsTable } from "../shared/settings/setting.ts";
import { systemClock } from "../shared/time/clock.ts";
import { type Coordinator, startCoordinator } from "./coordinator.ts";
import { signingKeys } from "./domain/account/signing-key.ts";
import { COORDINATOR_SETTINGS, type CoordinatorSettings } from "./settings.ts";
import { type LocalAgent, startLocalAgent } from "./stack/agent.ts";
import { liveStack, operatorToken, removeStack, signingKey, writeStack } from "./stack/directory.ts";
import { watchIdle } from "./stack/idle.ts";
import { identify, type ProcessIdentity } from "./stack/process.ts";
import { openVault } from "./vault/open.ts";

export interface UpOptions {
  settings: CoordinatorSettings;
  dataDirectory: string;
  version: string;
  environment: NodeJS.ProcessEnv;
  log: Logger;
  /** Gives up starting. */
  signal: AbortSignal;
  /** Called when the stack has been idle for `settings.idleExitMs`. */
  onIdle(): void;
}

export interface Up {
  url: string;
  firstAdministrator: Coordinator["firstAdministrator"];
  stop(): Promise<void>;
}

/** A local agent enrols within a second or never; the rest is for a machine that swaps. */
const ENROLMENT_LIFETIME_MS = 600_000;
/** From a database to a live stack takes about a second; no longer than the command line waits for it. */
const OTHER_START_MAX_MS = 30_000;
const OTHER_START_POLL_MS = 50;

/** Throws `data_directory_in_use`, what the embedded database refuses, and what the coordinator does. */
export async function startUp(options: UpOptions): Promise<Up> {
  const { settings, dataDirectory, log, version, signal } = options;
  const other = await liveStack(dataDirectory);
  if (other) {
    throw new AiravataError(
      "data_directory_in_use",
      `a stack with data directory ${dataDirectory} runs already at ${other.url} (process ${other.process.pid})`,
    );
  }
  const self = (await identify(process.pid)) as ProcessIdentity;
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    // In reverse: the agent says goodbye while the coordinator still listens, the database goes last.
    for (const step of undo.splice(0).reverse()) await step().catch((error) => log.error("stopping failed", { error }));
  };
  try {
    const token = settings.operatorToken ?? (await operatorToken(dataDirectory, log));
    const keys = signingKeys(settings) ?? { current: await signingKey(dataDirectory, log), previous: [] };
    const database = settings.databaseUrl === undefined ? await ownDatabase(options) : undefined;
    if (database) undo.push(() => database.stop());
    const databaseUrl = settings.databaseUrl ?? database!.url;
    const vault = await openVault(settings, settings.vaultDir ?? join(dataDirectory, "vault"), log);
    const coordinator = await startCoordinator({
      settings,
      databaseUrl,
      vault,
      token,
      signingKeys: keys,
      // What ends by itself was started in the background, and what it prints goes to a file.
      firstPassword: settings.idleExitMs === undefined,
      version,
      log,
      signal,
    });
    undo.push(() => coordinator.stop());
    await coordinator.leading;
    await writeStack(dataDirectory, { process: self, url: coordinator.url, version });
    const disown = () => removeStack(dataDirectory, self);
    undo.push(disown);
    const agents = await startAgents(options, coordinator);
    undo.push(() => Promise.all(agents.map((agent) => agent.stop())));
    // First of all, so that nobody comes to a stack that is leaving.
    undo.push(disown);
    if (settings.idleExitMs !== undefined) {
      const stopWatching = watchIdle(settings.idleExitMs, coordinator, systemClock, options.onIdle);
      undo.push(async () => stopWatching());
    }
    return { url: coordinator.url, firstAdministrator: coordinator.firstAdministrator, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Refused when another process has the directory, but only when that one's stack is live or it is gone: the command line
 * that started us takes our end without a `stack.json` for a failure.
 */
async function ownDatabase({ dataDirectory, log, signal }: UpOptions): ReturnType<typeof startEmbedded> {
  try {
    return await startEmbedded(dataDirectory, { log });
  } catch (error) {
    const holder =
      error instanceof AiravataError && error.code === "data_directory_in_use" ? error.data.pid : undefined;
    const deadline = performance.now() + OTHER_START_MAX_MS;
    while (typeof holder === "number" && !signal.aborted && performance.now() < deadline) {
      if ((await liveStack(dataDirectory)) || !(await identify(holder))) break;
      await delay(OTHER_START_POLL_MS);
    }
    throw error;
  }
}

function startAgents(options: UpOptions, coordinator: Coordinator): Promise<LocalAgent[]> {
  const { dataDirectory, environment, log } = options;
  const start = (name: string): Promise<LocalAgent> =>
    startLocalAgent({
      name,
      dataDirectory,
      environment: agentEnvironment(environment),
      log,
      url: coordinator.url,
      isEnrolled: coordinator.isEnrolled,
      enrolmentToken: () => coordinator.createEnrolmentToken(`local agent ${name}`, ENROLMENT_LIFETIME_MS),
    });
  return Promise.all(Array.from({ length: options.settings.agents }, (_, i) => start(`local-${i + 1}`)));
}

/** The agent must not find the coordinator's secrets in its environment. */
function agentEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const table: SettingsTable = COORDINATOR_SETTINGS;
  const secret = Object.values(table).filter((setting) => setting.secret === true);
  const hidden = new Set(["AIRAVATA_TOKEN", ...secret.map(({ variable }) => variable)]);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !hidden.has(name)));
}
