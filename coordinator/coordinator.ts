/**
 * One coordinator in this process: store, dispatcher, domain and API put together. It listens before it leads; while
 * another one leads it answers health and history itself and forwards the rest there.
 */
import { setTimeout as delay } from "node:timers/promises";
import { migrate } from "../db/migrate.ts";
import { AiravataError } from "../shared/error/error.ts";
import type { Logger } from "../shared/log/log.ts";
import { type AgentId, SYSTEM_ACTOR } from "../shared/model/ids.ts";
import { systemClock } from "../shared/time/clock.ts";
import { internalAddress, localUrl, parseInternalAddress } from "./address.ts";
import { createEdge, type EdgeSettings } from "./api/edge/edge.ts";
import type { Patience } from "./api/edge/slow.ts";
import { TLS_PREFIX } from "./api/forward/dial.ts";
import { tokenHash } from "./api/http/access.ts";
import { createApiServer } from "./api/server.ts";
import { type Authorization, type AuthorizationSettings, startAuthorization } from "./authorization.ts";
import { createAbsenceReconciler } from "./background/absences.ts";
import { auditReconcilers } from "./background/audit.ts";
import { identitiesReconciler } from "./background/identities.ts";
import { loginsReconciler } from "./background/logins.ts";
import { projectsReconciler } from "./background/projects.ts";
import { startReconcilers } from "./background/reconcilers.ts";
import { createRemovalReconciler, nudgeAfterChanges } from "./background/removals.ts";
import { createRetention } from "./background/retention.ts";
import { createRolloutReconciler, ROLLOUT } from "./background/rollout.ts";
import { createCredentials, type UseBound } from "./credentials.ts";
import { createDispatcher } from "./dispatch/dispatcher.ts";
import type { SigningKeys } from "./domain/account/access-token.ts";
import { createFirstAdministrator } from "./domain/account/accounts.ts";
import { openAccounts } from "./domain/account/room.ts";
import { createAgentAbsences } from "./domain/agent/absences.ts";
import { createEnrolmentToken } from "./domain/agent/enrolment.ts";
import { AgentFigures } from "./domain/agent/figures.ts";
import { AgentNotices } from "./domain/agent/notices.ts";
import { createAgentSessions } from "./domain/agent/session.ts";
import { createRefusalLog } from "./domain/audit/refusals.ts";
import type { Vault } from "./domain/credential/vault.ts";
import { withEndedTasks } from "./domain/ended.ts";
import { createEventHub } from "./domain/event/hub.ts";
import { recordOfView } from "./domain/experiment/record.ts";
import { snapshotOf } from "./domain/experiment/snapshot.ts";
import { createWorkFigures } from "./domain/figures.ts";
import { createIdentity } from "./domain/forward/identity.ts";
import { createLeaderWatch } from "./domain/forward/leader.ts";
import { Peers } from "./domain/forward/peers.ts";
import { createStatementReader, StatementWriter } from "./domain/forward/statement.ts";
import { createOidcAccounts } from "./domain/oidc/accounts.ts";
import { openReleaseDirectory } from "./domain/release/directory.ts";
import { createArchive } from "./domain/retention/archive.ts";
import { type LoginSettings, prepareLogins } from "./login.ts";
import type { CoordinatorSettings } from "./settings.ts";
import { createStore } from "./store/store.ts";

export interface CoordinatorOptions {
  settings: Pick<
    CoordinatorSettings,
    | "bind"
    | "port"
    | "internalAddress"
    | "sessionTtlMs"
    | "infrastructureRetries"
    | "bodyBytesMax"
    | "agentReleases"
    | "updateSettleMs"
  > &
    Partial<
      AuthorizationSettings &
        LoginSettings &
        Pick<
          CoordinatorSettings,
          | "retentionMs"
          | "archiveDir"
          | "shareHalfLifeMs"
          | "auditAnchor"
          | "auditSealMs"
          | "accessTokenTtlMs"
          | "refreshTokenTtlMs"
        >
    > &
    EdgeSettings;
  databaseUrl: string;
  /** Secrets go there; closed with the coordinator. */
  vault: Vault;
  /** The operator's; only its hash is kept. */
  token: string;
  /** Of access tokens. */
  signingKeys: SigningKeys;
  /** Whether the first administrator gets a password, which whoever starts this has to show. */
  firstPassword: boolean;
  version: string;
  log: Logger;
  /** Shorter ones for tests. */
  patience?: Patience;
  connectionsMax?: number;
  /** In place of the one that the settings name. */
  authorization?: Authorization;
  /** Gives up waiting for the database and for leadership. */
  signal?: AbortSignal;
}

export interface Coordinator {
  url: string;
  /** Resolves when this process leads for the first time; rejects when the signal gave up. */
  leading: Promise<void>;
  /** Made just now, because there was no account at all. */
  firstAdministrator: { username: string; password: string | null } | undefined;
  createEnrolmentToken(note: string, lifetimeMs: number): Promise<string>;
  isEnrolled(agent: number, name: string): Promise<boolean>;
  /** Tasks that are not ended; undefined while this process does not lead. */
  unfinished(): number | undefined;
  activity(): { clients: number; lastMono: number };
  useBound: UseBound;
  /** Reads the files of the certificate again. Resolves with whether another one is shown from now on. */
  reload(): Promise<boolean>;
  /** Hands leadership over, tells agents and watchers to come back, closes. */
  stop(): Promise<void>;
}

/** One dispatcher serves all projects; the number stands in every key for the day when more are needed. */
const SHARD = 0;
/** A database that is still starting is asked again after this. */
const DATABASE_POLL_MS = 500;

/** Rejects when the database refuses (its sentence), or the address is taken. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { settings, log } = options;
  const reachedAt = parseInternalAddress(settings.internalAddress);
  let reached: string | undefined;
  const logins = prepareLogins({ settings, url: () => reached, clock: systemClock });
  const edge = await createEdge(settings, { log, patience: options.patience, connectionsMax: options.connectionsMax });
  const { applied } = await whenDatabaseAnswers(options, () =>
    migrate(options.databaseUrl, { program: options.version }),
  );
  if (applied.length > 0) log.info("the database's schema was brought up to date", { applied });
  const store = createStore(options.databaseUrl, { log });
  const stored = store.history(SHARD);
  const identity = createIdentity();
  const listening = Promise.withResolvers<string>();
  const dispatcher = createDispatcher({
    leadership: store.leadership(SHARD, listening.promise, identity),
    clock: systemClock,
    random: Math.random,
    log,
    ttlMs: settings.sessionTtlMs,
    infrastructureRetries: settings.infrastructureRetries,
    shareHalfLifeMs: settings.shareHalfLifeMs,
    loadEnded: stored.load,
  });
  const leading = firstLeading(dispatcher, options.signal);
  // Not everybody waits for it.
  leading.catch(() => {});
  const { agents, enrolment, rollouts } = store;
  const figures = new AgentFigures({ wall: () => systemClock.wall() });
  dispatcher.onLeadership(({ leading }) => {
    if (!leading) figures.clear();
  });
  const notices = new AgentNotices({ agents, log, wall: () => systemClock.wall() });
  dispatcher.onForged((agent, message) => notices.tell(agent, "forged", message, notices.address(agent)));
  const sessions = createAgentSessions({ dispatcher, identity: (agent) => agents.identity(agent) });
  const releases = openReleaseDirectory(settings.agentReleases);
  const history = withEndedTasks(stored);
  const { projects, groups, grants, resources, audit } = store;
  const registry = { projects, groups, grants, resources, audit };
  const sources = { dispatcher, history, agents, enrolment, figures, notices, rollouts, releases, ...registry };
  const refusals = createRefusalLog({ append: audit.append, clock: systemClock, log });
  const hub = createEventHub({
    dispatcher,
    log,
    snapshot: snapshotOf(sources),
    record: (id) => {
      const view = dispatcher.experiment(id);
      return view && recordOfView(view);
    },
  });
  const work = createWorkFigures(dispatcher);
  const { coordinators } = store;
  const peers = new Peers(identity, coordinators.known);
  const watch = createLeaderWatch({
    dispatcher,
    identity,
    leader: () => store.leader(SHARD),
    announce: () => coordinators.announce(identity),
    log,
  });
  const authorization =
    options.authorization ??
    startAuthorization({
      settings,
      relationships: store.relationships,
      leads: () => {
        const { leading, term } = dispatcher.leadership();
        return leading ? term : undefined;
      },
      log,
    });
  dispatcher.onLeadership(({ leading }) => {
    if (leading) authorization.led();
  });
  // A coordinator that was not told keeps everything.
  const { retentionMs = 0, archiveDir: directory } = settings;
  const remains = store.retention(SHARD);
  const archive = createArchive({ sources, store: remains, clock: systemClock, retentionMs, directory });
  const gives = { dispatcher, grants, access: authorization.access };
  const credentials = createCredentials(store, options.vault, gives, log);
  const { access } = authorization;
  const accounts = openAccounts({ store, dispatcher, access, keys: options.signingKeys, settings, log });
  const login = logins(createOidcAccounts(accounts));
  const api = createApiServer({
    sources,
    archive,
    refusals,
    rolloutChanged: () => background.nudge(ROLLOUT),
    sessions,
    hub,
    work,
    forward: {
      watch,
      reader: createStatementReader({
        term: () => {
          const { leading, term } = dispatcher.leadership();
          return leading ? term : undefined;
        },
        secretFrom: (sender, term) => peers.secretFrom(sender, term),
      }),
      writer: new StatementWriter(identity.id),
    },
    pingDatabase: store.ping,
    tokenHash: tokenHash(options.token),
    accounts,
    login,
    access: authorization.access,
    credentials: credentials.sources,
    bodyBytesMax: settings.bodyBytesMax,
    edge,
    version: options.version,
    log,
  });
  const { updateSettleMs: settleMs } = settings;
  const background = startReconcilers({
    reconcilers: [
      ...createRetention(archive, remains, retentionMs, log),
      createAbsenceReconciler(createAgentAbsences(dispatcher, agents)),
      createRolloutReconciler(sources, { programs: api.programs, settleMs, log }),
      projectsReconciler(sources),
      ...authorization.reconcilers,
      credentials.reconciler,
      ...auditReconcilers(audit, settings),
      createRemovalReconciler({
        ...sources,
        removals: store.removals,
        access: authorization.access,
        clock: systemClock,
      }),
      identitiesReconciler({ dispatcher, agents, sessions }),
      loginsReconciler(store.logins),
    ],
    source: dispatcher,
    log,
  });
  const unfollow = nudgeAfterChanges(authorization.access, background.nudge);
  const stop = async (): Promise<void> => {
    unfollow();
    await background.stop();
    // Whoever waits for a commit is answered before the sockets go.
    await dispatcher.stop();
    hub.close();
    work.stop();
    await api.close();
    edge.close();
    await refusals.close();
    watch.close();
    await credentials.close();
    await accounts.close();
    await authorization.close();
    await store.close();
  };
  try {
    const bound = await api.listen({ host: settings.bind, port: settings.port });
    // An address that is taken ends the start: a password made before would be shown to nobody.
    const firstAdministrator = await whenDatabaseAnswers(options, () =>
      createFirstAdministrator(store.accounts, options.firstPassword),
    );
    const url = localUrl(bound, edge.isTls);
    const internal = (edge.isTls ? TLS_PREFIX : "") + internalAddress(reachedAt, bound);
    listening.resolve(internal);
    reached = url;
    log.info("listening", { url, internal_address: internal });
    void credentials.tell();
    return {
      url,
      leading,
      firstAdministrator,
      createEnrolmentToken: async (note, lifetimeMs) => {
        const by = { actor: SYSTEM_ACTOR, via: "stack", address: null, request: null };
        const token = { note, lifetimeMs, project: null, computeResource: null, usesMax: 1 };
        return (await createEnrolmentToken({ ...sources, access: authorization.access }, token, by)).token;
      },
      isEnrolled: async (agent, name) => {
        const known = await agents.identity(agent as AgentId);
        return known?.name === name && !known.revoked;
      },
      unfinished: () => {
        if (!dispatcher.leadership().leading) return undefined;
        const { tasks_queued = 0, tasks_waiting = 0, tasks_leased = 0 } = dispatcher.figures();
        return tasks_queued + tasks_waiting + tasks_leased;
      },
      activity: api.activity,
      useBound: credentials.useBound,
      reload: edge.reload,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A database that does not answer yet is waited for; one that refuses is not. */
async function whenDatabaseAnswers<T>({ log, signal }: CoordinatorOptions, work: () => Promise<T>): Promise<T> {
  for (let told = false; ; told = true) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof AiravataError && error.retryable)) throw error;
      if (!told) log.warn("the database does not answer yet; waiting for it", { error });
    }
    await delay(DATABASE_POLL_MS, undefined, { signal });
  }
}

function firstLeading(dispatcher: ReturnType<typeof createDispatcher>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (dispatcher.leadership().leading) return resolve();
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    const stop = dispatcher.onLeadership(({ leading }) => {
      if (!leading) return;
      stop();
      resolve();
    });
  });
}
