/**
 * The coordinator's program: `up`, `server`, `daemon`, `both`. It reads settings, starts, waits for a signal, hands over
 * and leaves; a second signal does not wait. The guide's three commands do the same: serve the API and campaign for
 * leadership. Any of several may lead, and whichever is asked answers.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AiravataError, errorLine } from "../shared/error/error.ts";
import { Exit, exitForStatus } from "../shared/error/exit.ts";
import { createLogger, type Logger } from "../shared/log/log.ts";
import { parseFlags, settingsHelp } from "../shared/settings/flags.ts";
import { type Coordinator, startCoordinator } from "./coordinator.ts";
import { signingKeys } from "./domain/account/signing-key.ts";
import { COORDINATOR_SETTINGS, type CoordinatorSettings, readCoordinatorSettings } from "./settings.ts";
import { defaultDataDirectory, openDataDirectory, operatorToken } from "./stack/directory.ts";
import { startUp } from "./up.ts";
import { openVault } from "./vault/open.ts";

const COMMANDS = {
  up: "run everything on this machine: PostgreSQL, the coordinator and a local agent",
  server: "run the coordinator on the PostgreSQL that DATABASE_URL names",
  daemon: "the same as server in this version",
  both: "the same as server in this version",
};

/** What runs, to be stopped. */
interface Running {
  url: string;
  stop(): Promise<void>;
}

async function main(args: string[]): Promise<void> {
  const [command = "", ...rest] = args;
  if (rest.includes("--help") || rest.includes("-h") || !Object.hasOwn(COMMANDS, command)) {
    process.stdout.write(help(command));
    if (!Object.hasOwn(COMMANDS, command)) process.exitCode = Exit.USAGE;
    return;
  }
  const { flags, words } = parseFlags(COORDINATOR_SETTINGS, rest);
  if (words.length > 0) throw new AiravataError("setting_unknown", `${command} takes options only, not "${words[0]}"`);
  const readFile = (path: string): string => readFileSync(path, "utf8");
  const { settings, secrets, notices } = readCoordinatorSettings({ flags, env: process.env, readFile });
  const log = createLogger({ level: settings.logLevel, format: logFormat(settings), secrets });
  for (const notice of notices) log.warn(notice);
  await untilSignal((leave, signal) => start(command, settings, log, leave, signal), log);
}

async function start(
  command: string,
  settings: CoordinatorSettings,
  log: Logger,
  leave: (reason: string) => void,
  signal: AbortSignal,
): Promise<Running> {
  const version = packageVersion();
  if (command !== "up" && settings.databaseUrl === undefined) {
    throw new AiravataError(
      "database_not_configured",
      `${command} needs a PostgreSQL: set DATABASE_URL to postgres://user:password@host:5432/airavata_scheduler, or use "airavata up", which brings its own`,
    );
  }
  const dataDirectory = await openDataDirectory(settings.dataDir ?? defaultDataDirectory(process.env));
  if (command === "up") {
    refuseTls(settings);
    const onIdle = (): void => leave("nothing to do and nobody asking");
    const up = await startUp({ settings, dataDirectory, version, environment: process.env, log, signal, onIdle });
    process.stdout.write(`${up.url}\n`);
    process.stdout.write(howToUse(up.url, dataDirectory) + howToBegin(up.firstAdministrator, "  "));
    return up;
  }
  const keys = signingKeys(settings);
  if (keys === undefined) {
    throw new AiravataError(
      "setting_invalid",
      `${command} needs a key that signs logins: set JWT_SECRET_KEY, the same for every coordinator of the database, for example to what "openssl rand -base64 48" prints`,
    );
  }
  const token = settings.operatorToken ?? (await operatorToken(dataDirectory, log));
  const databaseUrl = settings.databaseUrl as string;
  const vault = await openVault(settings, settings.vaultDir ?? join(dataDirectory, "vault"), log);
  const coordinator = await startCoordinator({
    settings,
    databaseUrl,
    vault,
    token,
    signingKeys: keys,
    firstPassword: true,
    version,
    log,
    signal,
  });
  process.stdout.write(`${coordinator.url}\n${howToBegin(coordinator.firstAdministrator, "")}`);
  // Without a certificate a terminal that is closed ends the coordinator, as always.
  if (settings.tlsCert !== undefined) process.on("SIGHUP", () => void coordinator.reload());
  return coordinator;
}

/** Its own agents and the clients of this machine dial it on loopback, by plain HTTP. */
function refuseTls({ tlsCert, tlsKey, agentCaFile, requireHttps }: CoordinatorSettings): void {
  if (!requireHttps && [tlsCert, tlsKey, agentCaFile].every((file) => file === undefined)) return;
  throw new AiravataError(
    "setting_unsupported",
    "up speaks plain HTTP on this machine: unset AIRAVATA_TLS_CERT, AIRAVATA_TLS_KEY, AIRAVATA_AGENT_CA_FILE and REQUIRE_HTTPS, or use server",
  );
}

/** Runs until SIGTERM, SIGINT or `leave`, then stops in order; what is still starting gives up. */
async function untilSignal(
  begin: (leave: (reason: string) => void, signal: AbortSignal) => Promise<Running>,
  log: Logger,
): Promise<void> {
  const asked = Promise.withResolvers<string>();
  const giveUp = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    asked.resolve(name);
    giveUp.abort(new Error(`stopped by ${name}`));
    // Asked twice: whoever waits no longer gets his terminal back at once. What is durable stays so.
    process.once(name, () => process.exit(Exit.FAILED));
  };
  process.once("SIGTERM", onSignal);
  process.once("SIGINT", onSignal);
  const running = await begin(asked.resolve, giveUp.signal).catch((error: unknown) => {
    if (giveUp.signal.aborted) return undefined;
    throw error;
  });
  const reason = await asked.promise;
  log.info("stopping", { reason });
  await running?.stop();
  process.exitCode = Exit.DONE;
}

function howToUse(url: string, dataDirectory: string): string {
  return `
  airavata run FILE    runs it here (data directory ${dataDirectory})
  from elsewhere: AIRAVATA_SERVER=${url}, AIRAVATA_TOKEN is in ${dataDirectory}/token
  Ctrl-C ends the stack; running tasks go on and are taken up by the next one.
`;
}

/** Shown once, on the terminal of whoever starts it, and kept nowhere. */
function howToBegin(first: Coordinator["firstAdministrator"], indent: string): string {
  if (first === undefined || first.password === null) return "";
  const { username, password } = first;
  const lines = [
    `The first administrator is "${username}" with the one-time password ${password}`,
    "It is shown this once, and is changed at the first login: airavata auth login",
  ];
  return lines.map((line) => `${indent}${line}\n`).join("");
}

function help(command: string): string {
  if (!Object.hasOwn(COMMANDS, command)) {
    return `${Object.entries(COMMANDS)
      .map(([name, what]) => `  airavata ${name.padEnd(8)} ${what}`)
      .join("\n")}\n`;
  }
  const example =
    command === "up"
      ? "airavata up --data-dir /scratch/airavata"
      : `DATABASE_URL=postgres://user:password@host:5432/airavata_scheduler airavata ${command} --bind 0.0.0.0`;
  const head = `Usage: airavata ${command} [options]\n\n${COMMANDS[command as keyof typeof COMMANDS]}`;
  return `${head}\n\nOptions:\n${settingsHelp(COORDINATOR_SETTINGS)}\n\nExamples:\n  ${example}\n`;
}

function logFormat({ logFormat: format }: CoordinatorSettings): "json" | "text" {
  if (format === "auto") return process.stderr.isTTY ? "text" : "json";
  return format;
}

function packageVersion(): string {
  return JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`airavata: ${errorLine(error)}\n`);
  process.exitCode = error instanceof AiravataError ? exitForStatus(error.status) : Exit.FAILED;
}
