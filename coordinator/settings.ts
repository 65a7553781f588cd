/**
 * Every setting of the coordinator, with its default. What a name means to an operator stands in docs/settings.md.
 */
import { AiravataError } from "../shared/error/error.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../shared/log/log.ts";
import {
  ACCESS_TOKEN_TTL_MS,
  AUDIT_SEAL_MS,
  FAIR_SHARE_HALF_LIFE_MS,
  INFRASTRUCTURE_RETRIES,
  REFRESH_TOKEN_TTL_MS,
  RETENTION_MS,
  SESSION_TTL_MS,
} from "../shared/model/constants.ts";
import { readSettings, type SettingsSources, secretValues } from "../shared/settings/read.ts";
import type { SettingsOf, SettingsTable } from "../shared/settings/setting.ts";
import { type UnsupportedVariable, unsupportedNotices } from "../shared/settings/unsupported.ts";

export const COORDINATOR_SETTINGS = {
  databaseUrl: {
    flag: "--database-url-file",
    variable: "DATABASE_URL",
    type: "string",
    default: undefined,
    secret: true,
    doc: "PostgreSQL to keep the truth in, postgres://user:password@host:port/database; without it an embedded one is used",
  },
  port: {
    flag: "--port",
    variable: "SERVER_PORT",
    type: "int",
    default: 8080,
    unit: "TCP port",
    min: 0,
    max: 65_535,
    doc: "Port of the API and the agents; 0 takes any free one",
  },
  bind: {
    flag: "--bind",
    variable: "AIRAVATA_BIND",
    type: "string",
    // Closed by default: nothing off this machine reaches the API until somebody says so.
    default: "127.0.0.1",
    doc: "Address to listen on; 0.0.0.0 or :: for all",
  },
  internalAddress: {
    flag: "--internal-address",
    variable: "AIRAVATA_INTERNAL_ADDRESS",
    type: "string",
    default: undefined,
    doc: "Where other coordinators on the same database reach this one, HOST or HOST:PORT; what --bind and --port say when not set",
  },
  tlsCert: {
    flag: "--tls-cert",
    variable: "AIRAVATA_TLS_CERT",
    type: "string",
    default: undefined,
    doc: "File with the certificate that the listener shows and those between it and its root, PEM; plain HTTP when not set",
  },
  tlsKey: {
    flag: "--tls-key",
    variable: "AIRAVATA_TLS_KEY",
    type: "string",
    default: undefined,
    doc: "File with the private key of that certificate, PEM, without a passphrase",
  },
  caFile: {
    flag: "--ca-file",
    variable: "AIRAVATA_CA_FILE",
    type: "string",
    default: undefined,
    doc: "File with certificates that are trusted beside the system's when another coordinator is dialled, PEM",
  },
  agentCaFile: {
    flag: "--agent-ca-file",
    variable: "AIRAVATA_AGENT_CA_FILE",
    type: "string",
    default: undefined,
    doc: "File with the authorities of agents' certificates, PEM: an agent without one gets no session; none is asked for when not set",
  },
  requireHttps: {
    flag: "--require-https",
    variable: "REQUIRE_HTTPS",
    type: "bool",
    default: false,
    doc: "Refuse what did not come by TLS, to this listener or to a trusted proxy",
  },
  trustedProxies: {
    flag: "--trusted-proxies",
    variable: "AIRAVATA_TRUSTED_PROXIES",
    type: "list",
    default: [],
    doc: "Addresses and networks (10.0.0.0/8) of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
  },
  corsOrigins: {
    flag: "--cors-origins",
    variable: "AIRAVATA_CORS_ORIGINS",
    type: "list",
    default: [],
    doc: "Origins (https://portal.example.org) whose web pages may use the API and its WebSockets",
  },
  rateLimit: {
    flag: "--rate-limit",
    variable: "RATE_LIMIT_ENABLED",
    type: "bool",
    default: true,
    doc: "Bound how often a user and an address may ask",
  },
  requestsPerMinute: {
    flag: "--requests-per-minute",
    variable: "MAX_REQUESTS_PER_MINUTE",
    type: "int",
    // A hundred a second: a client that fetches small outputs four at a time, and a tenth of what one loop answers.
    default: 6_000,
    unit: "requests",
    min: 10,
    max: 10_000_000,
    doc: "Requests of one user in a minute; an address may send five times as many, agents have bounds of their own",
  },
  dataDir: {
    flag: "--data-dir",
    variable: "AIRAVATA_DATA_DIR",
    type: "string",
    default: undefined,
    doc: "Directory of the embedded stack; $XDG_DATA_HOME/airavata, or /var/lib/airavata as root, when not set",
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
  sessionTtlMs: {
    flag: "--session-ttl",
    variable: "AIRAVATA_SESSION_TTL",
    type: "duration",
    default: SESSION_TTL_MS,
    // A heartbeat is a quarter of it: below a second the loop's own jitter would end sessions.
    min: 1_000,
    max: 3_600_000,
    doc: "How long an agent may be silent before its tasks are given to another one",
  },
  infrastructureRetries: {
    flag: "--infrastructure-retries",
    variable: "AIRAVATA_INFRASTRUCTURE_RETRIES",
    type: "int",
    default: INFRASTRUCTURE_RETRIES,
    unit: "tries",
    min: 0,
    max: 1_000,
    doc: "Further tries of a task after failures that are not its own: lost agent, full disk, dead runner",
  },
  retentionMs: {
    flag: "--retention",
    variable: "AIRAVATA_RETENTION",
    type: "duration",
    default: RETENTION_MS,
    min: 0,
    max: 100 * 365 * 24 * 3_600_000,
    doc: "How long tasks and attempts of an ended experiment are kept; then its summary stays; 0 keeps them for ever",
  },
  archiveDir: {
    flag: "--archive-dir",
    variable: "AIRAVATA_ARCHIVE_DIR",
    type: "string",
    default: undefined,
    doc: "Directory where tasks and attempts are written before they go, a file per experiment; not written when not set",
  },
  shareHalfLifeMs: {
    flag: "--fair-share-half-life",
    variable: "AIRAVATA_FAIR_SHARE_HALF_LIFE",
    type: "duration",
    default: FAIR_SHARE_HALF_LIFE_MS,
    min: 3_600_000,
    max: 365 * 86_400_000,
    doc: "After this long what a project used counts half in its share",
  },
  operatorToken: {
    flag: "--operator-token-file",
    variable: "AIRAVATA_OPERATOR_TOKEN",
    type: "string",
    default: undefined,
    secret: true,
    doc: "The token that opens the API; made at first start and kept in the data directory's file token when not set",
  },
  spicedbEndpoint: {
    flag: "--spicedb-endpoint",
    variable: "SPICEDB_ENDPOINT",
    type: "string",
    default: undefined,
    doc: "SpiceDB server that decides who may do what, HOST:PORT; without it an engine in this process does",
  },
  spicedbToken: {
    flag: "--spicedb-token-file",
    variable: "SPICEDB_TOKEN",
    type: "string",
    default: undefined,
    secret: true,
    doc: "The preshared key that the SpiceDB server was started with; needed with an endpoint",
  },
  spicedbInsecure: {
    flag: "--spicedb-insecure",
    variable: "SPICEDB_INSECURE",
    type: "bool",
    // The token goes with every call: in clear only where somebody said that the way there is his own.
    default: false,
    doc: "Speak plaintext to the SpiceDB server instead of TLS",
  },
  spicedbCaFile: {
    flag: "--spicedb-ca-file",
    variable: "SPICEDB_CA_FILE",
    type: "string",
    default: undefined,
    doc: "File with the certificates (PEM) that the SpiceDB server's is checked against, instead of the public ones",
  },
  openbaoAddr: {
    flag: "--openbao-addr",
    variable: "OPENBAO_ADDR",
    type: "string",
    default: undefined,
    doc: "OpenBao to keep secrets in, like https://openbao.example:8200; without it a sealed directory is used",
  },
  openbaoToken: {
    flag: "--openbao-token-file",
    variable: "OPENBAO_TOKEN",
    type: "string",
    default: undefined,
    secret: true,
    doc: "The coordinator's token at OpenBao, with the policy of deploy/openbao; renewed as long as OpenBao allows",
  },
  openbaoRoleId: {
    flag: "--openbao-role-id",
    variable: "OPENBAO_ROLE_ID",
    type: "string",
    default: undefined,
    doc: "AppRole to log in at OpenBao with, in place of a token; survives what ends a token",
  },
  openbaoSecretId: {
    flag: "--openbao-secret-id-file",
    variable: "OPENBAO_SECRET_ID",
    type: "string",
    default: undefined,
    secret: true,
    doc: "Secret id of the AppRole",
  },
  openbaoCredentialsPath: {
    flag: "--openbao-credentials-path",
    variable: "OPENBAO_CREDENTIALS_PATH",
    type: "string",
    default: "credentials",
    doc: "Where OpenBao's KV engine, version 2, is mounted",
  },
  openbaoTransitPath: {
    flag: "--openbao-transit-path",
    variable: "OPENBAO_TRANSIT_PATH",
    type: "string",
    default: "transit",
    doc: "Where OpenBao's transit engine is mounted",
  },
  openbaoTransitKey: {
    flag: "--openbao-transit-key",
    variable: "OPENBAO_TRANSIT_KEY",
    type: "string",
    default: "credentials",
    doc: "The transit key that secrets are encrypted with",
  },
  vaultDir: {
    flag: "--vault-dir",
    variable: "AIRAVATA_VAULT_DIR",
    type: "string",
    default: undefined,
    doc: "The sealed directory that secrets are kept in without OpenBao; vault in the data directory when not set",
  },
  vaultPassphraseFile: {
    flag: "--vault-passphrase-file",
    variable: "AIRAVATA_VAULT_PASSPHRASE_FILE",
    type: "string",
    default: undefined,
    doc: "File with a passphrase that seals the keys of the sealed directory; without it they are a file of mode 0600",
  },
  jwtSecretKey: {
    flag: "--jwt-secret-key-file",
    variable: "JWT_SECRET_KEY",
    type: "string",
    default: undefined,
    secret: true,
    doc: "Key that signs access tokens, the same on every coordinator, at least 32 random bytes; `up` makes one in its data directory when not set",
  },
  jwtPreviousSecretKeys: {
    flag: "--jwt-previous-secret-keys-file",
    variable: "JWT_PREVIOUS_SECRET_KEYS",
    type: "string",
    default: undefined,
    secret: true,
    doc: "Keys of before, separated by spaces or commas: what they signed stays good until it runs out",
  },
  accessTokenTtlMs: {
    flag: "--jwt-access-token-ttl",
    variable: "JWT_ACCESS_TOKEN_TTL",
    type: "duration",
    default: ACCESS_TOKEN_TTL_MS,
    // Clients refresh before the end: below this they would do little else.
    min: 10_000,
    max: 24 * 3_600_000,
    doc: "How long an access token is good",
  },
  refreshTokenTtlMs: {
    flag: "--jwt-refresh-token-ttl",
    variable: "JWT_REFRESH_TOKEN_TTL",
    type: "duration",
    default: REFRESH_TOKEN_TTL_MS,
    min: 60_000,
    max: 366 * 86_400_000,
    doc: "How long a login lasts without being used",
  },
  agents: {
    flag: "--agents",
    variable: "AIRAVATA_UP_AGENTS",
    type: "int",
    default: 1,
    unit: "agents",
    min: 0,
    // Each is a process of some 60 MB with its own state; more than that on one machine measures only the machine.
    max: 64,
    doc: "Local agents that `up` enrols and keeps running; each takes all of the machine",
  },
  idleExitMs: {
    flag: "--idle-exit",
    variable: "AIRAVATA_IDLE_EXIT",
    type: "duration",
    default: undefined,
    min: 1_000,
    max: 365 * 24 * 3_600_000,
    doc: "`up` ends by itself after so long without unfinished work and without a client; never when not set",
  },
  agentReleases: {
    flag: "--agent-releases",
    variable: "AIRAVATA_AGENT_RELEASES",
    type: "string",
    default: undefined,
    doc: "Directory with releases of the agent program, one below it per version; the same on every coordinator",
  },
  updateSettleMs: {
    flag: "--update-settle",
    variable: "AIRAVATA_UPDATE_SETTLE",
    type: "duration",
    // Two heartbeats and a half: a program that dies under its first leases has done so by then.
    default: 30_000,
    min: 0,
    max: 24 * 3_600_000,
    doc: "How long an updated agent must work before the next ones are updated",
  },
  auditSealMs: {
    flag: "--audit-seal-period",
    variable: "AIRAVATA_AUDIT_SEAL_PERIOD",
    type: "duration",
    default: AUDIT_SEAL_MS,
    min: 100,
    max: 3_600_000,
    doc: "How often what the audit recorded is sealed: until then nobody would notice that it was changed",
  },
  auditAnchor: {
    flag: "--audit-anchor",
    variable: "AIRAVATA_AUDIT_ANCHOR",
    type: "string",
    default: undefined,
    doc: "File at whose end each head of the audit's chain is written, to be shipped where nobody can change it; none when not set",
  },
  publicUrl: {
    flag: "--public-url",
    variable: "AIRAVATA_PUBLIC_URL",
    type: "string",
    default: undefined,
    doc: "The address that browsers have for this coordinator, https://host or https://host:port; where it listens when not set and that is loopback",
  },
  egressAllow: {
    flag: "--egress-allow",
    variable: "AIRAVATA_EGRESS_ALLOW",
    type: "list",
    default: [],
    doc: "What may be called although it is not public: addresses, ranges, hosts, *.ends of hosts, each but a range also with :port",
  },
  oidcIssuer: {
    flag: "--oidc-issuer",
    variable: "OIDC_ISSUER",
    type: "string",
    default: undefined,
    doc: "The OpenID provider's https address; without it nobody logs in by one",
  },
  oidcClientId: {
    flag: "--oidc-client-id",
    variable: "OIDC_CLIENT_ID",
    type: "string",
    default: undefined,
    doc: "What the provider calls this coordinator",
  },
  oidcClientSecret: {
    flag: "--oidc-client-secret-file",
    variable: "OIDC_CLIENT_SECRET",
    type: "string",
    default: undefined,
    secret: true,
    doc: "What proves it to the provider; a public client has none",
  },
  oidcScopes: {
    flag: "--oidc-scopes",
    variable: "OIDC_SCOPES",
    type: "list",
    default: ["openid", "profile", "email"],
    doc: "What to ask the provider for; openid is always asked for",
  },
  oidcUsernameClaim: {
    flag: "--oidc-username-claim",
    variable: "OIDC_USERNAME_CLAIM",
    type: "string",
    default: "preferred_username",
    doc: "Claim that a new account's username is made of",
  },
  oidcAutoCreate: {
    flag: "--oidc-auto-create",
    variable: "OIDC_AUTO_CREATE",
    type: "bool",
    // At a public provider everybody is somebody: who may come in is the operator's to say.
    default: false,
    doc: "Whether somebody whom the provider vouches for gets an account at his first login",
  },
  bodyBytesMax: {
    flag: "--body-max",
    variable: "AIRAVATA_BODY_MAX",
    type: "bytes",
    // An experiment file is at most 1 MiB; as a string in JSON with every character escaped it may grow sixfold.
    default: 8 * 1024 * 1024,
    min: 64 * 1024,
    max: 256 * 1024 * 1024,
    doc: "Largest body of a request",
  },
} as const satisfies SettingsTable;

export type CoordinatorSettings = SettingsOf<typeof COORDINATOR_SETTINGS>;

/** Variables of the guide that no part reads yet. Exported for tests that compare it with the docs. */
export const COORDINATOR_UNSUPPORTED: Record<string, UnsupportedVariable> = {
  WORKER_INTERVAL: { instead: "nothing is provisioned, agents are started by hand" },
};

/**
 * The coordinator's settings, the values its logger must hide, and sentences about set variables that are not used yet.
 * Throws `setting_invalid` or `setting_unknown`.
 */
export function readCoordinatorSettings(sources: SettingsSources): {
  settings: CoordinatorSettings;
  secrets: string[];
  notices: string[];
} {
  refuseUnverified(sources.env ?? {});
  const notices = unsupportedNotices(COORDINATOR_UNSUPPORTED, sources.env ?? {});
  const { values } = readSettings(COORDINATOR_SETTINGS, sources);
  const previousKeys = (values.jwtPreviousSecretKeys ?? "").split(/[\s,]+/).filter(Boolean);
  return {
    settings: values,
    secrets: [...secretValues(COORDINATOR_SETTINGS, values), ...previousKeys],
    notices,
  };
}

/** It would hold for whatever this process dials: the database, the vault, the identity provider. */
function refuseUnverified(env: Record<string, string | undefined>): void {
  const name = "NODE_TLS_REJECT_UNAUTHORIZED";
  if (env[name] === undefined || env[name] === "" || env[name] === "1") return;
  throw new AiravataError(
    "setting_invalid",
    `${name} switches off the verification of certificates, with which anybody on the way is believed: unset it, and name authorities of your own by NODE_EXTRA_CA_CERTS`,
  );
}
