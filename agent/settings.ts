/**
 * Every setting of the agent, with its default. What a name means to an operator stands
 * in docs/settings.md.
 */
import { AiravataError } from "../shared/error/error.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../shared/log/log.ts";
import { readSettings, type SettingsSources, secretValues } from "../shared/settings/read.ts";
import type { SettingsOf, SettingsTable } from "../shared/settings/setting.ts";
import { type UnsupportedVariable, unsupportedNotices } from "../shared/settings/unsupported.ts";

/** A sample's cost is bounded by the time between two of tasks, not of nodes: below this a node's would show. */
const METRICS_INTERVAL_MIN_MS = 1_000;

export const AGENT_SETTINGS = {
  name: {
    flag: "--name",
    variable: "WORKER_ID",
    type: "string",
    default: undefined,
    doc: "The agent's name; the host's name when not set",
  },
  apiUrl: {
    flag: "--api-url",
    variable: "API_URL",
    type: "string",
    default: "http://127.0.0.1:8080",
    doc: "The coordinator that the agent dials",
  },
  caFile: {
    flag: "--ca-file",
    variable: "AIRAVATA_CA_FILE",
    type: "string",
    default: undefined,
    doc: "File with the authorities that the coordinator's certificate may be signed by, PEM; the system's when not set",
  },
  clientCert: {
    flag: "--client-cert",
    variable: "AIRAVATA_CLIENT_CERT",
    type: "string",
    default: undefined,
    doc: "File with the certificate that is shown to a coordinator that asks agents for one, PEM",
  },
  clientKey: {
    flag: "--client-key",
    variable: "AIRAVATA_CLIENT_KEY",
    type: "string",
    default: undefined,
    doc: "File with the private key of that certificate, PEM, without a passphrase",
  },
  outputDir: {
    flag: "--output-dir",
    variable: "OUTPUT_DIR",
    type: "string",
    default: undefined,
    doc: "Root of the agent's state and of its task directories; must be given",
  },
  pollIntervalMs: {
    flag: "--poll-interval",
    variable: "POLL_INTERVAL",
    type: "duration",
    default: 10_000,
    min: 100,
    max: 3_600_000,
    doc: "Longest time between two requests for work on a quiet session",
  },
  enrolmentToken: {
    flag: "--enrolment-token-file",
    variable: "AIRAVATA_ENROLMENT_TOKEN",
    type: "string",
    default: undefined,
    secret: true,
    doc: "Token that is traded for an identity at the first start; later ones do not need it",
  },
  computeResource: {
    flag: "--compute-resource",
    variable: "COMPUTE_ID",
    type: "string",
    default: undefined,
    doc: "The compute resource that the agent is at: at its first start it must be the one that its enrolment token names",
  },
  keyMaxAgeMs: {
    flag: "--key-max-age",
    variable: "AIRAVATA_KEY_MAX_AGE",
    type: "duration",
    // 90 days: what is asked of keys of machines that nobody looks at.
    default: 7_776_000_000,
    min: 0,
    doc: "A key that is older is replaced by a new one, while tasks run on; 0s: never by itself",
  },
  cpus: {
    flag: "--cpus",
    variable: "AIRAVATA_CPUS",
    type: "number",
    default: undefined,
    unit: "processors",
    min: 0.1,
    max: 100_000,
    doc: "Processors to use; what affinity and cgroup leave when not set",
  },
  memoryBytes: {
    flag: "--memory",
    variable: "AIRAVATA_MEMORY",
    type: "bytes",
    default: undefined,
    // A task that states nothing needs 1 GiB; less than 64 MiB runs no program worth scheduling.
    min: 64 * 1024 * 1024,
    doc: "Memory to use; what the machine and its cgroup have when not set",
  },
  gpus: {
    flag: "--gpus",
    variable: "AIRAVATA_GPUS",
    type: "int",
    default: undefined,
    unit: "gpus",
    min: 0,
    max: 1_024,
    doc: "Gpus to use; detected when not set",
  },
  vramBytes: {
    flag: "--vram",
    variable: "AIRAVATA_VRAM",
    type: "bytes",
    default: undefined,
    min: 0,
    doc: "Memory of one gpu; detected when not set",
  },
  diskBytes: {
    flag: "--disk",
    variable: "AIRAVATA_DISK",
    type: "bytes",
    default: undefined,
    min: 0,
    doc: "Disk to use below the output directory; what is free when not set",
  },
  labels: {
    flag: "--labels",
    variable: "AIRAVATA_LABELS",
    type: "list",
    default: [],
    pairs: true,
    doc: "Labels that tasks may ask for, name=value",
  },
  custom: {
    flag: "--custom",
    variable: "AIRAVATA_CUSTOM",
    type: "list",
    default: [],
    pairs: true,
    doc: "Other countable resources, name=amount",
  },
  passEnv: {
    flag: "--pass-env",
    variable: "AIRAVATA_PASS_ENV",
    type: "list",
    default: [],
    doc: "Names of the agent's own variables that tasks get too (site modules)",
  },
  lastsMs: {
    flag: "--lasts",
    variable: "AIRAVATA_LASTS",
    type: "duration",
    default: undefined,
    min: 1_000,
    doc: "How long the allocation around the agent still lasts: it gets no task that takes longer; without end when not set",
  },
  drainTimeoutMs: {
    flag: "--drain-timeout",
    variable: "AIRAVATA_DRAIN_TIMEOUT",
    type: "duration",
    // Service managers and batch systems kill what has not left 30 to 90 s after SIGTERM.
    default: 25_000,
    min: 0,
    max: 86_400_000,
    doc: "How long a drain begun by SIGTERM waits for running tasks; then the agent leaves and they run on for the next start",
  },
  metricsIntervalMs: {
    flag: "--metrics-interval",
    variable: "AIRAVATA_METRICS_INTERVAL",
    type: "duration",
    // A message of 200 bytes: ten thousand agents tell a thousand a second.
    default: 10_000,
    min: 0,
    max: 3_600_000,
    doc: "Time between two samples of the node's figures, half of it for running tasks, at least 1s; 0s samples nothing",
  },
  updateTrialMs: {
    flag: "--update-trial",
    variable: "AIRAVATA_UPDATE_TRIAL",
    type: "duration",
    // A start takes a second, adoption of thousands of tasks some more, and a hello on a busy coordinator a few.
    default: 60_000,
    min: 1_000,
    max: 3_600_000,
    doc: "A new program that an update started and that says nothing of itself for so long is replaced by the former one",
  },
  logLevel: {
    flag: "--log-level",
    variable: "LOG_LEVEL",
    type: "string",
    default: "info",
    choices: LOG_LEVELS,
    doc: "Least level that is logged: debug, info, warn, error or silent",
  },
  logFormat: {
    flag: "--log-format",
    variable: "LOG_FORMAT",
    type: "string",
    default: "auto",
    choices: LOG_FORMATS,
    doc: "json, text, or auto: text on a terminal and JSON elsewhere",
  },
} as const satisfies SettingsTable;

export type AgentSettings = SettingsOf<typeof AGENT_SETTINGS>;

/** Variables of the guide that the agent does not read yet. Exported for tests that compare it with the docs. */
export const AGENT_UNSUPPORTED: Record<string, UnsupportedVariable> = {};

/**
 * The agent's settings, the values its logger must hide, and sentences about set variables that are not used yet.
 * Throws `setting_invalid` or `setting_unknown`.
 */
export function readAgentSettings(sources: SettingsSources): {
  settings: AgentSettings;
  secrets: string[];
  notices: string[];
} {
  const notices = unsupportedNotices(AGENT_UNSUPPORTED, sources.env ?? {});
  const { values } = readSettings(AGENT_SETTINGS, sources);
  if (values.metricsIntervalMs > 0 && values.metricsIntervalMs < METRICS_INTERVAL_MIN_MS) {
    const text = "metricsInterval (--metrics-interval, AIRAVATA_METRICS_INTERVAL) must be 0s or at least 1s";
    throw new AiravataError("setting_invalid", text);
  }
  return { settings: values, secrets: secretValues(AGENT_SETTINGS, values), notices };
}
