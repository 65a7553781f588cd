/**
 * `airavata agent`: one agent in the foreground until it is told to leave; `airavata enrol`: only its enrolment.
 * SIGTERM or Ctrl-C drains it; a second one leaves at once, and what runs is adopted by the next start.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { AiravataError, errorLine } from "../../../shared/error/error.ts";
import { Exit } from "../../../shared/error/exit.ts";
import { createLogger, type Logger } from "../../../shared/log/log.ts";
import { defaultText } from "../../../shared/settings/flags.ts";
import type { Setting } from "../../../shared/settings/setting.ts";
import { createAgent, type RunningAgent } from "../../agent.ts";
import { loadIdentity, loadOrEnrol } from "../../session/identity.ts";
import { takeOwnership } from "../../session/owner.ts";
import { refuseUnverified } from "../../session/trust.ts";
import { AGENT_SETTINGS, type AgentSettings, readAgentSettings } from "../../settings.ts";
import { chosenProgram } from "../../update/chosen.ts";
import { become, takeKeeperNews } from "../../update/keeper.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { runnerProgram } from "../runner.ts";
import { readSecret } from "../secret.ts";
import { PROGRAM_FILE, PROGRAM_VERSION, PROGRAM_WORDS } from "../version.ts";
import { gather } from "./tree.ts";

type CommandOption = [flags: string, description: string, parse?: (value: string, previous: unknown) => unknown];

/** The agent's settings as options of its command, and the file that may hold them. */
export const AGENT_OPTIONS: CommandOption[] = [
  ["--config <file>", "YAML file with these settings (name, api_url, output_dir, …)"],
  ...Object.values(AGENT_SETTINGS).map((setting: Setting): CommandOption => {
    const flags = `${setting.flag} <${setting.secret ? "file" : setting.type}>`;
    const doc = setting.doc.charAt(0).toLowerCase() + setting.doc.slice(1);
    const fallback = defaultText(setting);
    const description = `${doc} (${fallback === "" ? "" : `default ${fallback}; `}${setting.variable})`;
    return setting.type === "list" ? [flags, description, gather] : [flags, description];
  }),
];

export async function startAgent(invocation: Invocation): Promise<number> {
  const { settings, secrets, notices } = await agentSettings(invocation);
  const outputDir = requiredOutputDir(settings);
  const log = agentLogger(settings, secrets, invocation.err.isTerminal);
  for (const notice of notices) log.warn(notice);
  const {
    apiUrl,
    enrolmentToken,
    computeResource,
    keyMaxAgeMs,
    passEnv,
    pollIntervalMs,
    metricsIntervalMs,
    lastsMs = null,
    drainTimeoutMs,
  } = settings;
  const news = takeKeeperNews(invocation.environment);
  if (news.keeper === undefined) becomeChosen(outputDir, log);
  const program = { version: PROGRAM_VERSION, executable: PROGRAM_FILE, words: PROGRAM_WORDS };
  const agent = await createAgent({
    apiUrl,
    outputDir,
    name: settings.name ?? hostname(),
    enrolmentToken,
    computeResource,
    keyMaxAgeMs,
    runnerPath: runnerProgram,
    resources: settings,
    passEnv,
    pollIntervalMs,
    lastsMs,
    metricsIntervalMs,
    drainTimeoutMs,
    program,
    news,
    updateTrialMs: settings.updateTrialMs,
    env: invocation.environment,
    tls: settings,
    log,
  }).catch((error: unknown) => {
    // On trial: the former program is started again at once, and tells why.
    news.keeper?.say(`failed ${errorLine(error)}`);
    throw error;
  });
  leaveOnSignal(agent, log);
  const ending = await agent.over;
  log.info("left", { reason: ending.reason, message: ending.message });
  if (ending.reason === "updated") agent.handOver();
  return ending.reason === "drained" || ending.reason === "stopped" ? Exit.DONE : Exit.REFUSED;
}

/** What an update chose runs in place of the program that was started; unless that is a checkout, which no update replaces. */
function becomeChosen(outputDir: string, log: Logger): void {
  if (PROGRAM_FILE === undefined) return;
  const { program, notice } = chosenProgram(join(outputDir, "state"), PROGRAM_FILE);
  if (notice !== undefined) log.warn(notice);
  if (program !== undefined) become(program, [program, ...PROGRAM_WORDS]);
}

/** Trades a token for an identity and stops; `airavata agent` with the same output directory then needs no token. */
export async function enrolAgent(invocation: Invocation): Promise<undefined> {
  const { token, tokenFile, ...options } = invocation.options as Record<string, unknown> & TokenOptions;
  const { settings } = await agentSettings({ ...invocation, options });
  const outputDir = requiredOutputDir(settings);
  const stateDir = join(outputDir, "state");
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const ownership = await takeOwnership(stateDir);
  try {
    refuseUnverified(invocation.environment);
    const identity = await loadOrEnrol({
      stateDir,
      apiUrl: settings.apiUrl,
      name: settings.name ?? hostname(),
      token: await enrolmentToken({ token, tokenFile }, settings, stateDir, invocation),
      computeResource: settings.computeResource,
      env: invocation.environment,
      tls: settings,
    });
    const { agent, name, server } = identity;
    if (invocation.json) return printJson(invocation, { agent, name, server, output_dir: outputDir }) as undefined;
    invocation.out.write(`Enrolled as agent ${agent} (${name}) at ${server}.\n`);
    invocation.out.write(`Start it with "airavata agent --api-url ${server} --output-dir ${outputDir}".\n`);
  } finally {
    await ownership.release();
  }
}

interface TokenOptions {
  token?: string;
  tokenFile?: string;
}

/** As an argument with a warning, else from a file, else from the environment, else from standard input or a prompt. */
async function enrolmentToken(
  { token, tokenFile }: TokenOptions,
  settings: AgentSettings,
  stateDir: string,
  { err }: Invocation,
): Promise<string | undefined> {
  if (token !== undefined) {
    err.write(
      "The token stood in the list of processes for everybody on this machine; next time use --token-file, AIRAVATA_ENROLMENT_TOKEN or standard input.\n",
    );
    return token;
  }
  if (tokenFile === undefined) {
    if (settings.enrolmentToken !== undefined) return settings.enrolmentToken;
    // Nothing is waited for that is not needed.
    if ((await loadIdentity(stateDir)) !== undefined) return undefined;
  }
  const secret = await readSecret({ fromFile: tokenFile, what: "the enrolment token", twice: false, trim: true }, err);
  return secret.toString("utf8").trim() || undefined;
}

export async function agentSettings(invocation: Invocation): Promise<ReturnType<typeof readAgentSettings>> {
  const flags: Record<string, unknown> = {};
  for (const { flag } of Object.values(AGENT_SETTINGS)) {
    const name = flag.slice(2);
    flags[name] = invocation.options[name.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase())];
  }
  const config = invocation.options.config as string | undefined;
  return readAgentSettings({
    flags,
    env: invocation.environment,
    file: config === undefined ? undefined : { path: config, content: await readConfig(config) },
    readFile: (path) => readFileSync(path, "utf8"),
  });
}

async function readConfig(path: string): Promise<unknown> {
  const { parse } = await import("yaml");
  try {
    return parse(readFileSync(path, "utf8"), { maxAliasCount: 0 });
  } catch (cause) {
    throw new AiravataError("setting_invalid", `The agent's configuration file ${path} cannot be read as YAML.`, {
      cause,
    });
  }
}

export function requiredOutputDir({ outputDir }: AgentSettings): string {
  if (outputDir !== undefined) return resolve(outputDir);
  throw new AiravataError(
    "setting_invalid",
    "An agent needs a directory for its state and its tasks: give --output-dir, or set OUTPUT_DIR.",
  );
}

function agentLogger(settings: AgentSettings, secrets: string[], isTerminal: boolean): Logger {
  const { logLevel: level, logFormat } = settings;
  const format = logFormat === "auto" ? (isTerminal ? "text" : "json") : logFormat;
  return createLogger({
    level: level as Parameters<typeof createLogger>[0]["level"],
    format: format as "json" | "text",
    secrets,
  });
}

function leaveOnSignal(agent: RunningAgent, log: Logger): void {
  let asked = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) {
      log.warn("leaving at once; what runs is adopted by the next start", { signal });
      void agent.stop();
      return;
    }
    asked = true;
    log.info("draining; a second signal leaves at once", { signal });
    agent.drain(`it was told to by ${signal}`);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
