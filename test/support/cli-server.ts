/**
 * A coordinator as the client sees it, over real sockets and under a test's hand: it may lose answers, refuse, go away
 * and come back on the same port. It holds one experiment, whose state the test sets.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { EVENTS_SUBPROTOCOL, type WatchMessage } from "../../shared/api/event.ts";
import type { ExperimentDetail, FailureGroup, Output } from "../../shared/api/experiment.ts";

export type Tasks = ExperimentDetail["tasks"];

/** A request that came in. */
interface Seen {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  body: unknown;
}

type Handler = (seen: Seen, response: ServerResponse) => void;

export class CliServer {
  experiment: ExperimentDetail = experimentDetail();
  failures: FailureGroup[] = [];
  outputs: (Output & { content: Buffer })[] = [];
  readonly seen: Seen[] = [];
  readonly subscriptions: { cursor?: string }[] = [];
  /** Consulted before the usual answers; a handler that answers returns true. */
  intercept: ((seen: Seen, response: ServerResponse) => boolean) | undefined;
  private server: Server | undefined;
  private sockets = new Set<WebSocket>();
  private port = 0;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listens on a free port; after `stop` on the same one again. */
  async start(): Promise<void> {
    const server = createServer((request, response) => void this.answer(request, response));
    const events = new WebSocketServer({ server, handleProtocols: () => EVENTS_SUBPROTOCOL });
    events.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("message", (data) => {
        this.subscriptions.push(JSON.parse(String(data)));
        this.tell({
          type: "snapshot",
          cursor: "1.1.0",
          reason: "subscribed",
          experiments: [this.experiment],
          agents: [],
          complete: true,
        });
      });
    });
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  /** Goes away at once, as a killed process does. */
  async stop(): Promise<void> {
    const server = this.server;
    if (server === undefined) return;
    this.server = undefined;
    for (const socket of this.sockets) socket.terminate();
    this.sockets.clear();
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }

  /** Sets counts (the rest is queued) and state; watchers are told unless `silently`. */
  set(tasks: Partial<Tasks>, state: ExperimentDetail["state"] = "EXECUTING", silently = false): void {
    const { total } = this.experiment.tasks;
    const counts = { waiting: 0, leased: 0, completed: 0, failed: 0, canceled: 0, ...tasks };
    const queued = total - counts.waiting - counts.leased - counts.completed - counts.failed - counts.canceled;
    const all = { total, queued, ...counts };
    const ended = state === "COMPLETED" || state === "FAILED" || state === "CANCELED";
    this.experiment = {
      ...this.experiment,
      state,
      tasks: all,
      running: all.leased,
      ended_at: ended ? "2026-01-01T00:00:10.000Z" : null,
      templates: this.experiment.templates.map((template) => ({ ...template, tasks: all })),
    };
    if (!silently) this.tell({ type: "progress", cursor: "1.2.0", experiments: [this.experiment] } as WatchMessage);
  }

  tell(message: WatchMessage): void {
    for (const socket of this.sockets) socket.send(JSON.stringify(message));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const seen: Seen = {
      method: request.method ?? "",
      path: decodeURIComponent(url.pathname.replace("/api/v1", "")),
      query: url.searchParams,
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    this.seen.push(seen);
    if (this.intercept?.(seen, response)) return;
    const handler = this.routes[`${seen.method} ${seen.path}`] ?? this.outputFile(seen);
    if (handler) handler(seen, response);
    else sendProblem(response, 404, "route_not_found", `there is no ${seen.path}`);
  }

  private readonly routes: Record<string, Handler> = {
    "POST /experiments": (_, response) => sendJson(response, 201, this.experiment),
    "GET /experiments": (_, response) => sendJson(response, 200, { items: [this.experiment], next_cursor: null }),
    "GET /experiments/17": (_, response) => sendJson(response, 200, this.experiment),
    "POST /experiments/17/cancel": (_, response) => {
      this.set({ canceled: this.experiment.tasks.total }, "CANCELED");
      sendJson(response, 200, { affected: this.experiment.tasks.total, experiment: this.experiment });
    },
    "GET /experiments/17/explain": (_, response) =>
      sendJson(response, 200, { state: this.experiment.state, reasons: [], waiting: [], failures: this.failures }),
    "GET /experiments/17/outputs": (_, response) =>
      sendJson(response, 200, {
        items: this.outputs.map(({ content: _, ...output }) => output),
        next_cursor: null,
        problems: [],
      }),
    "GET /health": (_, response) =>
      sendJson(response, 200, { status: "ok", version: "0", started_at: this.experiment.submitted_at }),
    "GET /user": (seen, response) =>
      seen.headers.authorization === "Bearer right"
        ? sendJson(response, 200, {
            id: 1,
            name: "operator",
            kind: "operator_token",
            display_name: "",
            email: null,
            via: "operator_token",
            scopes: null,
            platform_role: "administrator",
            password_must_change: false,
          })
        : sendProblem(response, 401, "unauthorized", "a token is needed"),
  };

  private outputFile(seen: Seen): Handler | undefined {
    const prefix = "/experiments/17/outputs/";
    const output = this.outputs.find(({ path }) => seen.path === prefix + path);
    return (
      output &&
      ((_, response) =>
        void response.writeHead(200, { "content-type": "application/octet-stream" }).end(output.content))
    );
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export function sendProblem(response: ServerResponse, status: number, code: string, detail: string): void {
  const body = { type: `docs/errors.md#${code}`, title: String(status), status, detail, code, request_id: "r1" };
  response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify(body));
}

export function experimentDetail(total = 100): ExperimentDetail {
  const tasks = { total, waiting: 0, queued: total, leased: 0, completed: 0, failed: 0, canceled: 0 };
  return {
    id: 17,
    name: "sweep",
    project: "default",
    state: "CREATED",
    priority: 0,
    tasks,
    running: 0,
    submitted_at: "2026-01-01T00:00:00.000Z",
    ended_at: null,
    templates: [
      { ordinal: 0, name: "dock", tasks, foreach: [], needs: [], outputs: { SCORE: "score.txt" }, run_time: null },
    ],
    parameters: {},
    max_failures: null,
    on_disconnect: "requeue",
    spec: null,
  };
}
