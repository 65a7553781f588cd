/**
 * Every bound and period of the system that is not a setting, each once, with its arithmetic.
 * Periods are milliseconds, sizes are bytes unless the name says otherwise.
 */
const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Liveness of agent sessions. A test may run with `ttlMs: 3000`; the other periods follow from it by `sessionTiming`. */
const HEARTBEAT_MS = 5_000;
/** Four heartbeats: three may be lost before a session is. */
export const SESSION_TTL_MS = 4 * HEARTBEAT_MS;

export interface SessionTiming {
  /** How long a lease lives without a renewal, on the dispatcher's monotonic clock. */
  ttlMs: number;
  /** ttl / 4: the period of renewals. */
  heartbeatMs: number;
  /** ttl / 5: the agent stops trusting its leases this long before the coordinator may give them away. */
  marginMs: number;
  /** ttl / 4: a gap in the dispatcher's own clock longer than this was a stall, and sessions are extended by it. */
  stallMs: number;
  /** 0.4 × ttl: the cap of the reconnect back-off stays below ttl/2, so that a new dispatcher hears every agent in time. */
  reconnectCapMs: number;
}

/** The session's periods, all derived from the ttl. */
export function sessionTiming(ttlMs: number = SESSION_TTL_MS): SessionTiming {
  return {
    ttlMs,
    heartbeatMs: ttlMs / 4,
    marginMs: ttlMs / 5,
    stallMs: ttlMs / 4,
    reconnectCapMs: ttlMs * 0.4,
  };
}

/** First reconnect within this, uniformly; then doubling to `reconnectCapMs`, always jittered. */
export const RECONNECT_FIRST_MS = 1_000;

/** Leadership: the row's life; renewed every third of it; the holder's own deadline is two thirds, so it stops first. */
export const LEADERSHIP_LEASE_MS = 6_000;
export const LEADERSHIP_RENEWAL_MS = 2_000;
export const LEADERSHIP_DEADLINE_MS = 4_000;

/** TERM, then this long, then KILL. */
export const KILL_GRACE_MS = 10_000;

/** Output kept per stream of an attempt: half head, half tail. */
export const OUTPUT_KEPT_BYTES = 16 * MIB;
/** Error output that a failed end carries into the journal. */
export const FAILED_TAIL_BYTES = 4 * KIB;

/** Requirement of a task that states none: 1 cpu, 1 GiB, half an hour. */
export const DEFAULT_CPUS = 1;
export const DEFAULT_MEMORY_BYTES = GIB;
export const DEFAULT_WALL_SECONDS = 30 * 60;

/** Further tries for infrastructure failures, beside the user's own budget (`retries.max`, 0 when silent). */
export const INFRASTRUCTURE_RETRIES = 10;
/** Backoff of try n: uniform(½, 1) × min(cap, base × 2^(n−1)). */
export const BACKOFF_BASE_MS = 1_000;
export const BACKOFF_CAP_MS = 300_000;

/** Until an entry of the audit is sealed nobody would notice that it was changed; at most 17,280 seals a day. */
export const AUDIT_SEAL_MS = 5_000;

/** What a project used counts half after a day: yesterday's campaign is felt today, last week's is not (1/128). */
export const FAIR_SHARE_HALF_LIFE_MS = 86_400_000;

/** What execve allows for one string, with its end: 128 KiB − 1. */
export const PARAMETER_VALUE_BYTES_MAX = 128 * KIB - 1;
export const SPEC_BYTES_MAX = MIB;
/** Lexical pieces of the YAML text, counted before it is parsed: 10 µs each at worst, so 3 s of a hostile file. */
export const SPEC_LEXEMES_MAX = 300_000;
/** Aliases in the file, and nodes once all of them are expanded: what expansion can cost is bounded twice. */
export const SPEC_ALIASES_MAX = 1_000;
export const SPEC_NODES_MAX = 300_000;
/** Nesting of lists and maps; the schema itself needs six. */
export const SPEC_DEPTH_MAX = 32;
/** Problems of one file that are reported. */
export const SPEC_PROBLEMS_MAX = 100;
/** Inputs and command texts of all templates together as stored; templates repeat their parent's and a shared script's. */
export const SPEC_DEFINITION_BYTES_MAX = 16 * MIB;
/** Tasks of one template: an index fits 24 bits. */
export const TEMPLATE_TASKS_MAX = 10_000_000;
/** Tasks of one experiment: at 16 bytes a waiting task, 320 MB of the dispatcher's memory. */
export const EXPERIMENT_TASKS_MAX = 20_000_000;
/** Paths that one argument of `argv` may become. */
export const REFERENCE_PATHS_MAX = 10_000;
/** Arguments and environment of one task: the 2 MiB that execve takes with a stack of 8 MiB, less what the site's own variables may need. */
export const TASK_EXEC_BYTES_MAX = 2 * MIB - 256 * KIB;
/** Templates of one experiment. */
export const EXPERIMENT_TEMPLATES_MAX = 10_000;

/** One wire frame, checked before decoding: a definition as large as a whole spec (1 MiB), and as much for columns. */
export const FRAME_BYTES_MAX = 2 * MIB;
/** Tasks in one frame of leases or ends: 500 × about 60 bytes of columns, far below a frame. */
export const FRAME_TASKS_MAX = 500;
/** Inputs of a template that are larger than this travel as values per lease, not inside the definition. */
export const DEFINITION_INPUTS_BYTES_MAX = 64 * KIB;
/** Tasks in one journal append. */
export const JOURNAL_BATCH_TASKS_MAX = 2_000;
/** Unfolded ends after which, or seconds after which, a checkpoint is due. */
export const CHECKPOINT_ENDS = 100_000;
export const CHECKPOINT_PERIOD_MS = 60_000;
/** Tasks folded into one checkpoint row. */
export const CHECKPOINT_CHUNK_TASKS = 4_096;
/**
 * What a partition of the journal's tables aims to hold: a million tasks, some 60 MB, so that what is past its retention
 * goes in small steps; and of a large history one in 64, so that partitions stay a hundred or so however much is kept.
 */
export const PARTITION_TASKS = 1_000_000;
export const PARTITIONS_AIMED = 64;
/** Experiments in one: at the least so many that making it (20 ms) is nothing, at the most 40 MB of single tasks. */
export const PARTITION_EXPERIMENTS_MIN = 4;
export const PARTITION_EXPERIMENTS_MAX = 10_000;
/** What an experiment costs beside its tasks, in tasks: its rows and file are some 4 kB, a task is some 40 B. */
export const EXPERIMENT_COST_TASKS = 100;
/** Days that an ended experiment's tasks are kept when nobody says otherwise: a season of a group's work. */
export const RETENTION_MS = 90 * 24 * 3_600_000;

/** Label that a task asks for to run at one compute resource. The coordinator sets it by the agent's enrolment. */
export const COMPUTE_RESOURCE_LABEL = "compute_resource";

/** Leases held ahead: this much work at the observed rate, at least one per slot, at most a thousand. */
export const AHEAD_MS = 200;
export const AHEAD_MAX = 1_000;
/** No leases ahead for classes whose median run time is above this. */
export const AHEAD_MEDIAN_MAX_MS = 60_000;
/** A runner holds a second task only when the class's median run time is below this. */
export const DEPTH_TWO_MEDIAN_MAX_MS = 1_000;
/**
 * And further ones only as far as they are started within this: a runner that waits for its agent after each task of a
 * millisecond stands still for half of the time (measured: 1,240 tasks/s with one held, 2,010 with two, 2,630 with four).
 */
export const LANE_AHEAD_MS = 8;
/** Half of what a runner takes. */
export const LANE_DEPTH_MAX = 8;
/** Ended attempts an agent keeps unacknowledged before it stops asking for more. */
export const OUTBOX_ATTEMPTS_MAX = 4_000;

/** Events kept for watchers that resume; beyond it they get a snapshot. */
export const EVENT_RING_MAX = 10_000;

/** Items of one page of a list. */
export const PAGE_ITEMS_MAX = 500;
export const PAGE_ITEMS_DEFAULT = 100;
/** Bodies that need no token, or that are small by nature. */
export const SMALL_BODY_BYTES_MAX = 64 * KIB;
/** An Idempotency-Key: a UUID with some room. */
export const IDEMPOTENCY_KEY_BYTES_MAX = 255;
/** From the opening of an agent's socket to its proven hello. */
export const HELLO_TIMEOUT_MS = 5_000;
/**
 * Agent sockets that have not proven who they are: a whole fleet comes back within a second of a coordinator's start. At
 * less than 10 kB each these are 100 MB at worst, for at most 5 s.
 */
export const UNPROVEN_SOCKETS_MAX = 10_000;
/** Connections that wait to be accepted: a fleet's tries within half a second; the kernel has its own bound, usually 4,096. */
export const LISTEN_BACKLOG = 4_096;
/** Unsent bytes at which reading from an agent pauses, and at which it is cut off (it reconnects): 4 and 64 frames. */
export const AGENT_UNSENT_PAUSE_BYTES = 4 * MIB;
export const AGENT_UNSENT_BYTES_MAX = 64 * MIB;
/** One read of a log or output file at an agent: a quarter of a frame, so that leases never wait long behind it. */
export const FILE_WINDOW_BYTES = 256 * KIB;
/** Files that may be read from one agent at once. */
export const FILE_READS_PER_AGENT_MAX = 64;
/** Unanswered file requests are given up after this. */
export const FILE_ANSWER_TIMEOUT_MS = 15_000;
/** Unsent bytes at which a watcher is served from the ring (or a snapshot) later instead of now. */
export const WATCHER_UNSENT_BYTES = MIB;
/** Watchers of events at once. */
export const WATCHERS_MAX = 1_000;
/** A watcher that does not answer a ping until the next one is gone, whatever its socket says. */
export const WATCHER_PING_MS = 30_000;
/** Connections in all: ten thousand agents, the watchers, and as many clients again. */
export const CONNECTIONS_MAX = 20_000;
/**
 * Of them those of one network that are no WebSockets, a tenth: some 300 people with the six connections of a browser, or a
 * fleet's ten thousand that come back over some seconds. Who wants to take all of them needs ten networks.
 */
export const NETWORK_CONNECTIONS_MAX = CONNECTIONS_MAX / 10;
/** Requests that one coordinator forwards at once; a followed log is one for as long as it lasts: as many as watchers, twice. */
export const FORWARDED_REQUESTS_MAX = 2_000;
/** Tasks named by the events of the ring: 16 B each, so 8 MB. */
export const EVENT_RING_TASKS_MAX = 500_000;
/** Progress is told to a watcher at most this often. */
export const PROGRESS_PERIOD_MS = 100;
/** People and groups that one thing is given to: all of them are read at once, at 100 B each. */
export const GRANTS_PER_OBJECT_MAX = 1_000;
/** Groups within groups: each level is a step of the authorization engine, which follows 50 from the thing that is asked about. */
export const GROUP_DEPTH_MAX = 16;
/** That one person makes who does not administer the installation: more than anybody keeps in mind, and no way to take all names. */
export const GROUPS_PER_PERSON_MAX = 100;

/** One call to OpenBao: it answers in milliseconds; what takes longer is frozen, and whoever waits is told so. */
export const VAULT_CALL_TIMEOUT_MS = 5_000;
/** A secret. The longest of use is a chain of certificates with its key, some 20 KiB. */
export const SECRET_BYTES_MAX = 64 * KIB;
/**
 * How long a secret that was used may be used again without asking the vault: what works goes on through a restart of
 * OpenBao, and what was taken from the vault by hand ends within this.
 */
export const SECRET_CACHE_MS = 300_000;
/** Secrets kept in memory at once: at their largest 16 MiB. */
export const SECRET_CACHE_MAX = 256;
/** Secrets of one credential that are kept: the one that holds and the two before it. */
export const CREDENTIAL_SECRETS_KEPT = 3;
/** Uses are written this often. */
export const CREDENTIAL_USE_FLUSH_MS = 5_000;
/** Different uses that wait for a database which is away: some 200 B each. */
export const CREDENTIAL_USES_WAITING_MAX = 10_000;
/** Uses kept per credential; at one per flush of the same purpose the last hour and a half, and years of rare ones. */
export const CREDENTIAL_USES_KEPT = 1_000;
/** A secret that was written to the vault and that no credential holds after this is destroyed: its writer died. */
export const SECRET_WRITE_MS_MAX = 600_000;
/** A few words; NIST asks for at least 8 where nothing else protects, we for 12. */
export const PASSWORD_LENGTH_MIN = 12;
/** Longer ones only cost the hashing of their text. */
export const PASSWORD_LENGTH_MAX = 1_024;
/** 19 MiB and a core for some 40 ms each; of libuv's four threads two stay for files and names. */
export const PASSWORD_CHECKS_AT_ONCE_MAX = 2;
/** At 40 ms each and two at once the last one waits 4 s. */
export const PASSWORD_CHECKS_WAITING_MAX = 200;
/** A one-time password that was not used for so long: a week is an absence, and whoever passed it on still knows it. */
export const ONE_TIME_PASSWORD_TTL_MS = 7 * 86_400_000;
/** Failed logins of one account from one address without a delay; then 1 s, doubling. */
export const LOGIN_PAIR_FREE = 5;
/** Two guesses a minute are 3,000 a day: none against twelve characters. The person at the same address waits no longer. */
export const LOGIN_PAIR_DELAY_MS_MAX = 30_000;
/** Of all accounts from one address: an office behind one address that comes to work. */
export const LOGIN_ADDRESS_FREE = 50;
export const LOGIN_ADDRESS_DELAY_MS_MAX = 60_000;
/** After so long without a further one failures are forgotten. */
export const LOGIN_FORGOTTEN_MS = 900_000;
/** Of each of two kinds, some 200 B each: 4 MB. */
export const LOGIN_THROTTLE_ENTRIES_MAX = 10_000;
/** A used refresh token gives the same successor for so long: an answer lost, and a second program of the same person. */
export const REFRESH_GRACE_MS = 10_000;
/** Logins of one person at once; one more ends the oldest. */
export const SESSIONS_PER_ACCOUNT_MAX = 100;
/** Personal tokens of one person that are good. */
export const PERSONAL_TOKENS_MAX = 100;
export const PERSONAL_TOKEN_LIFE_DEFAULT_MS = 90 * 86_400_000;
export const PERSONAL_TOKEN_LIFE_MAX_MS = 366 * 86_400_000;
/** Sessions and tokens that the dispatcher remembers: some 300 B each, 3 MB. */
export const KNOWN_LOGINS_MAX = 10_000;
/** Ended sessions are kept for the eye of their owner; the audit keeps what happened. */
export const ENDED_SESSIONS_KEPT_MS = 30 * 86_400_000;
/** Access tokens die with their session anyway; this bounds what a copy is worth to who only listens. */
export const ACCESS_TOKEN_TTL_MS = 3_600_000;
/** A week, as the guide has it. */
export const REFRESH_TOKEN_TTL_MS = 168 * 3_600_000;
/** That one person owns at once: more than anybody keeps in mind, and with three secrets each at most 200 MB in the vault. */
export const CREDENTIALS_PER_PERSON_MAX = 1_000;
/** Rows that only tell that a secret was destroyed: as long as somebody may wonder what a path in OpenBao's log was. */
export const DESTROYED_SECRET_KEPT_MS = 90 * 86_400_000;
/** A login in a browser, from the redirect to the provider until its return: a password, a second factor, a consent. */
export const OIDC_LOGIN_MS = 600_000;
/** From the return to the page's trade of its ticket: the load of a page. */
export const OIDC_TICKET_MS = 60_000;
/** A device login; providers give 10 to 15 minutes. */
export const OIDC_DEVICE_LOGIN_MS = 900_000;
