/**
 * A real coordinator in this process, on a database of its own, listening on a free port of loopback. Ends with the test.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { EdgeSettings } from "../../coordinator/api/edge/edge.ts";
import type { Patience } from "../../coordinator/api/edge/slow.ts";
import type { AuthorizationSettings } from "../../coordinator/authorization.ts";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
import type { Vault } from "../../coordinator/domain/credential/vault.ts";
import type { LoginSettings } from "../../coordinator/login.ts";
import { createSealedDirectory } from "../../coordinator/vault/sealed/directory.ts";
import { type Client, createClient } from "../../shared/api/client.ts";
import { type Logger, silentLogger } from "../../shared/log/log.ts";
import { SESSION_TTL_MS } from "../../shared/model/constants.ts";
import { freshDatabase } from "./postgres.ts";

export interface TestCoordinator {
  coordinator: Coordinator;
  url: string;
  token: string;
  client: Client;
  databaseUrl: string;
  /** Runs when the test is over, before the database goes. */
  defer(close: () => unknown): void;
  /** Ends this one and starts another on the same database and port. */
  restart(): Promise<void>;
}

export interface TestCoordinatorOptions {
  sessionTtlMs?: number;
  infrastructureRetries?: number;
  bodyBytesMax?: number;
  /** Nothing is archived by itself when silent. */
  retentionMs?: number;
  archiveDir?: string;
  auditAnchor?: string;
  auditSealMs?: number;
  agentReleases?: string;
  updateSettleMs?: number;
  internalAddress?: string;
  /** Plain HTTP without limits when silent. */
  edge?: EdgeSettings;
  /** The engine of this process when silent. */
  authorization?: Partial<AuthorizationSettings>;
  patience?: Patience;
  connectionsMax?: number;
  /** No OpenID provider when silent. */
  login?: Partial<LoginSettings>;
  token?: string;
  /** Made anew at each start; a sealed directory of the test when silent. */
  vault?: () => Vault;
  signingKeys?: { current: string; previous: string[] };
  accessTokenTtlMs?: number;
  refreshTokenTtlMs?: number;
  /** The first administrator gets a password; without, none, which saves a slow hash. */
  firstPassword?: boolean;
  /** A free one when silent. */
  port?: number;
  log?: Logger;
  /** On the same database, so it waits for leadership. */
  beside?: TestCoordinator;
  /** False: does not wait for leadership. */
  leading?: boolean;
}

let isThroughReplicas = false;

/**
 * From now on each test speaks with a second coordinator that does not lead, in front of the first: what it is answered
 * must be the same.
 */
export function throughReplicas(): void {
  isThroughReplicas = true;
}

/** Signs nothing but what tests need. */
export const TEST_SIGNING_KEY = "for-tests-alone-Zk3vQ8tLw1XrB6yN0pHs5mJd";
const TEST_TOKEN = "aop_for-tests-only-0123456789";

/** Resolves when it leads. */
export async function startTestCoordinator(
  t: TestContext,
  options: TestCoordinatorOptions = {},
): Promise<TestCoordinator> {
  const { beside, token = TEST_TOKEN } = options;
  const { url: databaseUrl, defer } = beside
    ? { url: beside.databaseUrl, defer: beside.defer }
    : await freshDatabase(t);
  let vaultDirectory: string | undefined;
  const sealed = (): Vault => {
    vaultDirectory ??= mkdtempSync(join(tmpdir(), "airavata-test-vault-"));
    return createSealedDirectory({ directory: vaultDirectory });
  };
  defer(() => vaultDirectory && rmSync(vaultDirectory, { recursive: true, force: true }));
  const start = async (port: number, leads = options.leading !== false): Promise<Coordinator> => {
    const coordinator = await startCoordinator({
      settings: {
        bind: "127.0.0.1",
        port,
        internalAddress: options.internalAddress,
        sessionTtlMs: options.sessionTtlMs ?? SESSION_TTL_MS,
        infrastructureRetries: options.infrastructureRetries ?? 10,
        bodyBytesMax: options.bodyBytesMax ?? 8 * 1024 * 1024,
        retentionMs: options.retentionMs ?? 0,
        archiveDir: options.archiveDir,
        auditAnchor: options.auditAnchor,
        auditSealMs: options.auditSealMs,
        agentReleases: options.agentReleases,
        accessTokenTtlMs: options.accessTokenTtlMs,
        refreshTokenTtlMs: options.refreshTokenTtlMs,
        updateSettleMs: options.updateSettleMs ?? 30_000,
        ...options.edge,
        ...options.authorization,
        ...options.login,
      },
      patience: options.patience,
      connectionsMax: options.connectionsMax,
      databaseUrl,
      vault: (options.vault ?? sealed)(),
      token,
      signingKeys: options.signingKeys ?? { current: TEST_SIGNING_KEY, previous: [] },
      firstPassword: options.firstPassword ?? false,
      version: "0.0.0-test",
      log: options.log ?? silentLogger,
    });
    if (leads) await coordinator.leading;
    return coordinator;
  };
  const running: TestCoordinator = {
    coordinator: await start(options.port ?? 0),
    token,
    databaseUrl,
    defer,
    url: "",
    client: undefined as unknown as Client,
    async restart() {
      await running.coordinator.stop();
      await replica?.leading;
      running.coordinator = await start(Number(new URL(running.coordinator.url).port), replica === undefined);
    },
  };
  const replica = isThroughReplicas && !beside ? await start(0, false) : undefined;
  running.url = (replica ?? running.coordinator).url;
  running.client = createClient({ server: running.url, token });
  defer(() => running.coordinator.stop());
  if (replica) defer(() => replica.stop());
  return running;
}
