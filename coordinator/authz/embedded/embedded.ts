/**
 * SpiceDB's own engine in this process: in a thread, because its calls are synchronous, behind a gRPC server on loopback
 * with a key that only this process knows, so that it is asked as a server is. It holds nothing but memory. A thread that
 * dies is replaced by an empty one, and its owner is told before that one can be asked. It ends with the process and does
 * not keep it alive.
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { v1 } from "@authzed/authzed-node";
import { AiravataError } from "../../../shared/error/error.ts";
import type { EngineOptions, Link, SpicedbClient } from "../link.ts";
import { CLIENT_OPTIONS } from "../server.ts";
import type { FrontMessage, FrontOptions } from "./front.ts";

/** It is there after 0.3 s; the rest is for a machine that swaps. */
const START_MS_MAX = 30_000;
/** A thread that dies at once is not started more often than this. */
const RESTART_MS = 1_000;

const WHERE = "the embedded authorization engine";

export interface EmbeddedLink extends Link {
  /** Which engine this is: another number, another engine. */
  generation(): number;
}

interface Running {
  thread: Worker;
  client: Promise<SpicedbClient>;
}

/** Starts at once, so that it is ready when it is first asked; later when it is asked and not there. */
export function startEmbedded({ log, onForgotten }: EngineOptions): EmbeddedLink {
  let running: Running | undefined;
  let last: Running;
  let nextStartMono = 0;
  let generation = 0;
  let closed = false;
  const start = (): Running => {
    nextStartMono = performance.now() + RESTART_MS;
    const started = startThread((reason, wasReady) => {
      if (running !== started || closed) return;
      running = undefined;
      generation++;
      if (!wasReady) return;
      log.error("the embedded authorization engine died; an empty one takes its place", { reason });
      onForgotten();
    });
    last = started;
    return started;
  };
  running = last = start();
  return {
    where: WHERE,
    generation: () => generation,
    client: async () => {
      if (closed) throw unavailable("is closed");
      if (running === undefined) {
        if (performance.now() < nextStartMono) {
          // Why it did not come up, if it did not.
          await last.client;
          throw unavailable("died a moment ago and is started again");
        }
        running = start();
      }
      return running.client;
    },
    // The kernel tells at once when a connection on loopback is gone.
    distrust: () => {},
    close: async () => {
      if (closed) return;
      closed = true;
      const { thread, client } = running ?? {};
      await client?.then((open) => open.close()).catch(() => {});
      await endThread(thread);
    },
  };
}

function startThread(onEnd: (reason: string, wasReady: boolean) => void): Running {
  const key = randomBytes(32).toString("base64url");
  const options: FrontOptions = { key };
  const thread = new Worker(new URL("./front.ts", import.meta.url), {
    name: "authorization",
    workerData: options,
    // Words for the process's own file or text are not for this one.
    execArgv: [],
    // It lives on short messages: without a bound its garbage of some 12,000 lists took 120 MB more before it was collected.
    resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 },
  });
  const started = Promise.withResolvers<SpicedbClient>();
  // Not everybody waits for it.
  started.promise.catch(() => {});
  let reason = "it ended";
  let ready = false;
  const fail = (why: string): void => started.reject(notStarted(why));
  const timer = setTimeout(() => fail(`it did not start within ${START_MS_MAX / 1000} s`), START_MS_MAX);
  let socket: string | undefined;
  // A thread is not asked when the process ends, nor when it is ended.
  const removeSocket = (): void => {
    if (socket !== undefined) rmSync(socket, { force: true });
  };
  process.once("exit", removeSocket);
  thread.on("message", ({ port, socket: path }: FrontMessage) => {
    ready = true;
    socket = path;
    clearTimeout(timer);
    const plaintext = v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS;
    const direct = { ...CLIENT_OPTIONS, "grpc.enable_http_proxy": 0 };
    started.resolve(v1.NewClient(key, `127.0.0.1:${port}`, plaintext, 0, direct));
  });
  thread.on("error", (error: unknown) => {
    reason = error instanceof Error ? error.message : String(error);
  });
  thread.on("exit", () => {
    clearTimeout(timer);
    process.off("exit", removeSocket);
    removeSocket();
    fail(reason);
    if (ready) void started.promise.then((client) => client.close());
    onEnd(reason, ready);
  });
  // After the listeners, each of which would hold the process again; until the start it is the timer that does.
  thread.unref();
  return { thread, client: started.promise };
}

/** Asked to leave, so that the engine gives back what it holds; a thread that does not hear is ended. */
async function endThread(thread: Worker | undefined): Promise<void> {
  if (thread === undefined) return;
  const gone = new Promise<void>((resolve) => thread.once("exit", () => resolve()));
  thread.ref();
  thread.postMessage("close");
  const timer = setTimeout(() => void thread.terminate(), RESTART_MS);
  await gone;
  clearTimeout(timer);
}

function unavailable(what: string): AiravataError {
  return new AiravataError("authorization_unavailable", `${WHERE} ${what}`);
}

function notStarted(why: string): AiravataError {
  return new AiravataError(
    "authorization_misconfigured",
    `${WHERE} does not start on this machine (${why}); it needs Linux with glibc 2.34 or newer on x64 or arm64. Set SPICEDB_ENDPOINT to use a SpiceDB server`,
  );
}
