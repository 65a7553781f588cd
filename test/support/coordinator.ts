/**
 * A real coordinator in this process, on a database of its own, listening on a free port of loopback. Ends with the test.
 */
import type { TestContext } from "node:test";
import { type Coordinator, startCoordinator } from "../../coordinator/coordinator.ts";
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
  log?: Logger;
  /** On the same database, so it waits for leadership. */
  beside?: TestCoordinator;
  /** False: does not wait for leadership. */
  leading?: boolean;
}

const TEST_TOKEN = "aop_for-tests-only-0123456789";

/** Resolves when it leads. */
export async function startTestCoordinator(
  t: TestContext,
  options: TestCoordinatorOptions = {},
): Promise<TestCoordinator> {
  const { beside } = options;
  const { url: databaseUrl, defer } = beside
    ? { url: beside.databaseUrl, defer: beside.defer }
    : await freshDatabase(t);
  const start = async (port: number): Promise<Coordinator> => {
    const coordinator = await startCoordinator({
      settings: {
        bind: "127.0.0.1",
        port,
        internalAddress: undefined,
        sessionTtlMs: options.sessionTtlMs ?? SESSION_TTL_MS,
        infrastructureRetries: options.infrastructureRetries ?? 10,
        bodyBytesMax: options.bodyBytesMax ?? 8 * 1024 * 1024,
      },
      databaseUrl,
      token: TEST_TOKEN,
      version: "0.0.0-test",
      log: options.log ?? silentLogger,
    });
    if (options.leading !== false) await coordinator.leading;
    return coordinator;
  };
  const running: TestCoordinator = {
    coordinator: await start(0),
    token: TEST_TOKEN,
    databaseUrl,
    defer,
    url: "",
    client: undefined as unknown as Client,
    async restart() {
      await running.coordinator.stop();
      running.coordinator = await start(Number(new URL(running.url).port));
    },
  };
  running.url = running.coordinator.url;
  running.client = createClient({ server: running.url, token: TEST_TOKEN });
  defer(() => running.coordinator.stop());
  return running;
}
