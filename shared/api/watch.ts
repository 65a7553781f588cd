/**
 * Follows events and keeps the cursor: after a lost connection it comes back, jittered, and goes on where it was, so the
 * caller sees every sequenced event once, or a snapshot in its place. Ends when the signal does.
 */
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL, type Subscribe, WatchMessage } from "./event.ts";
import { API_PREFIX } from "./routes.ts";

export interface WatchOptions {
  /** `http://host:port`. */
  server: string;
  token?: string | (() => Promise<string | undefined>);
  /** What to follow; its `cursor` is where to begin. */
  subscribe: Omit<Subscribe, "type">;
  signal: AbortSignal;
  /** Told about every lost connection and how long it waits before the next; connecting again is silent. */
  onLost?: (reason: string, delayMs: number) => void;
}

const RECONNECT_CAP_MS = 4_000;
/** Messages that the caller has not taken; beyond it the connection is given up and resumed from the cursor. */
const QUEUE_MAX = 10_000;

/** Yields messages as they come; throws only the signal's reason, never for a lost server. */
export async function* watch(options: WatchOptions): AsyncGenerator<WatchMessage> {
  let cursor = options.subscribe.cursor;
  let failures = 0;
  while (true) {
    options.signal.throwIfAborted();
    const { token } = options;
    let reason = "";
    // Without one the server says no, and it is asked for again.
    const held = typeof token === "function" ? await token().catch(() => undefined) : token;
    const connection = connect(options, held, cursor);
    try {
      for await (const message of connection.messages) {
        if (message.type === "error") {
          reason = message.message;
          continue;
        }
        failures = 0;
        if ("cursor" in message) cursor = message.cursor;
        yield message;
      }
      reason ||= connection.closed();
    } finally {
      connection.close();
    }
    options.signal.throwIfAborted();
    // First within 0–250 ms, then doubling to the cap: a restart of the coordinator takes well under a second.
    const delayMs = Math.random() * Math.min(RECONNECT_CAP_MS, 250 * 2 ** failures++);
    options.onLost?.(reason, delayMs);
    await sleep(delayMs, options.signal);
  }
}

interface Connection {
  messages: AsyncIterable<WatchMessage>;
  closed(): string;
  close(): void;
}

function connect(options: WatchOptions, token: string | undefined, cursor: string | undefined): Connection {
  const url = `${options.server.replace(/\/+$/, "").replace(/^http/, "ws")}${API_PREFIX}/events`;
  const protocols = [EVENTS_SUBPROTOCOL];
  if (token !== undefined) protocols.push(BEARER_SUBPROTOCOL_PREFIX + token);
  const socket = new WebSocket(url, protocols);
  const queue: WatchMessage[] = [];
  let wake: (() => void) | undefined;
  let over: string | undefined;
  const end = (reason: string): void => {
    over ??= reason;
    wake?.();
  };
  const abort = (): void => end("stopped");
  options.signal.addEventListener("abort", abort, { once: true });
  socket.addEventListener("open", () =>
    socket.send(JSON.stringify({ type: "subscribe", ...options.subscribe, cursor })),
  );
  socket.addEventListener("message", (event) => {
    const message = WatchMessage.safeParse(parseJson(String(event.data)));
    // A message of a newer server is skipped: its cursor is passed by the next one.
    if (message.success && over === undefined) queue.push(message.data);
    if (queue.length > QUEUE_MAX) end("events come faster than they are taken");
    wake?.();
  });
  socket.addEventListener("close", (event) => end(event.reason || `the server closed the connection (${event.code})`));
  socket.addEventListener("error", () => end(`${options.server} does not answer`));
  return {
    messages: (async function* () {
      while (true) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else if (over !== undefined) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    })(),
    closed: () => over ?? "closed",
    close: () => {
      options.signal.removeEventListener("abort", abort);
      socket.close();
    },
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
