/**
 * Sends on what only the dispatcher can answer, one hop, and streams both ways at the pace of whoever takes. While there is
 * no dispatcher a request waits a moment for one: a takeover takes less. Whatever was sent and not answered is a 503 whose
 * sentence says so; everything that is under way ends with the term in which it was sent.
 */
import type { EventEmitter } from "node:events";
import { type ClientRequest, Agent as ConnectionPool, type IncomingMessage, request as openRequest } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { FORWARDED_REQUESTS_MAX } from "../../../shared/model/constants.ts";
import type { KnownLeader, LeaderWatch } from "../../domain/forward/leader.ts";
import type { Statement, StatementReader, StatementWriter } from "../../domain/forward/statement.ts";
import type { Edge } from "../edge/edge.ts";
import type { Caller } from "../http/access.ts";
import { createDial, hostAndPort, whenConnected } from "./dial.ts";
import {
  answerHeaders,
  FORWARDED_HEADER,
  hasBody,
  NOT_LEADING_HEADER,
  requestHeaders,
  upgradeHeaders,
} from "./headers.ts";
import { relayRefusal, splice } from "./splice.ts";

export interface ForwarderOptions {
  watch: LeaderWatch;
  reader: StatementReader;
  writer: StatementWriter;
  edge: Pick<Edge, "headers" | "peer">;
  log: Logger;
  bodyBytesMax: number;
}

/** For a dispatcher, and for a connection to it. Both together: a dead one is a 503 within two seconds. */
const FIND_MS = 1_000;
/** From the end of a request to the head of its answer: the slowest waits 15 s for an agent and 5 for the database. */
const HEAD_MS = 35_000;
/** Below the 72 s after which the other side closes a connection that is not used. */
const POOL_IDLE_MS = 30_000;
const POOL_FREE_MAX = 64;

/** Nothing of the request was done, and all of it is still here: it may be tried elsewhere. */
class Untouched extends Error {
  override name = "Untouched";
}

/** Who waits for the answer. */
interface Client {
  emitter: EventEmitter;
  isGone(): boolean;
}

type Make = (leader: KnownLeader) => ClientRequest;
type Opened = { response: IncomingMessage } | { response: IncomingMessage; socket: Duplex; head: Buffer };

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #pool = new ConnectionPool({
    keepAlive: true,
    maxFreeSockets: POOL_FREE_MAX,
    timeout: POOL_IDLE_MS,
  });
  /** What ends when a term is over, by term. */
  readonly #underWay = new Map<number, Set<() => void>>();
  readonly #unlisten: () => void;
  readonly #dial: (options: object) => Socket;
  #requests = 0;
  #sockets = 0;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#dial = createDial(options.edge.peer);
    this.#pool.createConnection = this.#dial;
    this.#unlisten = options.watch.onOver((term) => {
      for (const end of this.#underWay.get(term) ?? []) end();
    });
  }

  /** Whether what needs the dispatcher must go elsewhere. */
  get isNeeded(): boolean {
    return !this.#options.watch.leads();
  }

  figures(): Record<string, number> {
    return { forwarded_requests: this.#requests, forwarded_sockets: this.#sockets };
  }

  /**
   * What another coordinator states about the request; undefined when it comes from a client. Throws `not_leading`,
   * `forward_refused`.
   */
  async stated(request: IncomingMessage): Promise<Statement | undefined> {
    const text = request.headers[FORWARDED_HEADER];
    if (text === undefined) return undefined;
    return this.#options.reader.read(String(text), sealedBy(request));
  }

  /**
   * Answers with what the dispatcher answers. Resolves with false, and nothing has happened, when this process leads
   * meanwhile. Throws `not_leading`, `too_many_connections`, `body_too_large`.
   */
  async http(request: FastifyRequest, reply: FastifyReply): Promise<boolean> {
    const { raw } = request;
    const { bodyBytesMax } = this.#options;
    if (Number(raw.headers["content-length"] ?? 0) > bodyBytesMax) {
      throw new AiravataError("body_too_large", `the body is larger than the ${bodyBytesMax} bytes that are taken`);
    }
    if (reply.raw.destroyed) throw gone();
    if (this.#requests >= FORWARDED_REQUESTS_MAX) {
      const text = `${FORWARDED_REQUESTS_MAX} requests are being forwarded, which is the bound`;
      throw new AiravataError("too_many_connections", text);
    }
    this.#requests++;
    const done = (): void => void this.#requests--;
    reply.raw.once("close", done);
    const statement = statementOf(request.caller, request.id);
    // Its close says that it is over, well or not.
    const client = { emitter: reply.raw, isGone: () => reply.raw.destroyed && !reply.raw.writableFinished };
    const opened = await this.#open(client, raw, (leader) => {
      const headers = requestHeaders(raw, this.#options.writer.write(leader, statement, sealedBy(raw)));
      return openRequest({ ...targetOf(leader, raw), agent: this.#pool, headers });
    });
    if (opened === undefined) {
      reply.raw.off("close", done);
      done();
      return false;
    }
    const { response } = opened;
    const headers = answerHeaders(response);
    // Of how the client came the dispatcher knows nothing.
    for (const [name, value] of Object.entries(this.#options.edge.headers(raw))) {
      if (response.headers[name] === undefined) headers.push(name, value);
    }
    // What is left of the request's body nobody reads.
    if (!raw.complete) headers.push("Connection", "close");
    reply.hijack();
    reply.raw.writeHead(response.statusCode ?? 502, response.statusMessage, headers);
    reply.raw.flushHeaders();
    // Breaks the client's connection when the dispatcher's breaks: the body is not whole, and must not look so.
    pipeline(response, reply.raw, () => {});
    return true;
  }

  /**
   * Makes the client's socket one with the dispatcher's; its refusal of the upgrade is handed on. Resolves with false, and
   * nothing has happened, when this process leads meanwhile. Throws `not_leading`.
   */
  async upgrade(
    request: IncomingMessage,
    client: { socket: Duplex; head: Buffer },
    caller: Caller,
    requestId: string,
  ): Promise<boolean> {
    const { writer } = this.#options;
    const statement = statementOf(caller, requestId);
    let term = 0;
    const own = { emitter: client.socket, isGone: () => client.socket.destroyed };
    const opened = await this.#open(own, request, (leader) => {
      term = leader.term;
      const headers = upgradeHeaders(request, writer.write(leader, statement, sealedBy(request)));
      return openRequest({ ...targetOf(leader, request), createConnection: this.#dial, headers });
    });
    if (opened === undefined) return false;
    if (client.socket.destroyed) {
      if ("socket" in opened) opened.socket.destroy();
      else opened.response.destroy();
      return true;
    }
    if (!("socket" in opened)) {
      relayRefusal(opened.response, client.socket);
      return true;
    }
    this.#sockets++;
    const end = splice(client, opened, () => {
      this.#sockets--;
      forget();
    });
    const forget = this.#during(term, end);
    return true;
  }

  close(): void {
    this.#unlisten();
    for (const all of this.#underWay.values()) for (const end of all) end();
    this.#pool.destroy();
  }

  /** Finds the dispatcher and asks it; tries the next one while nothing was sent. */
  async #open(client: Client, raw: IncomingMessage, make: Make): Promise<Opened | undefined> {
    const { watch, log } = this.#options;
    const untilMono = performance.now() + FIND_MS;
    for (let failed: KnownLeader | undefined; ; ) {
      const leader = await watch.find(untilMono - performance.now(), failed?.term);
      if (watch.leads()) return undefined;
      if (client.isGone()) throw gone();
      if (leader === undefined) {
        const why = failed ? `the one of term ${failed.term} cannot be reached` : "none is known";
        throw new AiravataError(
          "not_leading",
          `another coordinator has to lead, and ${why}; try again in a few seconds`,
        );
      }
      try {
        return await this.#ask(client, raw, leader, make);
      } catch (error) {
        if (!(error instanceof Untouched)) throw error;
        log.debug("the coordinator that leads cannot be reached", { term: leader.term, error: error.cause });
        failed = leader;
      }
    }
  }

  #ask(client: Client, raw: IncomingMessage, leader: KnownLeader, make: Make): Promise<Opened> {
    return new Promise((resolve, reject) => {
      let upstream: ClientRequest;
      try {
        upstream = make(leader);
      } catch (cause) {
        // A URL that a server parses and a client does not send.
        reject(new AiravataError("request_invalid", "the URL holds characters that must be escaped", { cause }));
        return;
      }
      let sent = false;
      let timer: NodeJS.Timeout | undefined;
      const send = (): void => {
        if (upstream.destroyed) return;
        sent = true;
        if (hasBody(raw)) raw.pipe(upstream);
        else upstream.end();
      };
      const forget = this.#during(leader.term, () => upstream.destroy(new Error(`term ${leader.term} is over`)));
      const clientGone = (): void => {
        if (client.isGone()) upstream.destroy(gone());
      };
      client.emitter.once("close", clientGone);
      upstream.once("close", () => {
        clearTimeout(timer);
        client.emitter.off("close", clientGone);
        forget();
      });
      upstream.once("socket", (socket) => whenConnected(socket, send));
      upstream.once("finish", () => {
        timer = setTimeout(() => upstream.destroy(new Error(`no answer within ${HEAD_MS / 1000} s`)), HEAD_MS);
      });
      upstream.once("response", (response) => {
        clearTimeout(timer);
        if (response.headers[NOT_LEADING_HEADER] !== undefined && !hasBody(raw)) {
          response.resume();
          reject(new Untouched("it does not lead any more"));
          return;
        }
        resolve({ response });
      });
      upstream.once("upgrade", (response, socket, head) => {
        clearTimeout(timer);
        resolve({ response, socket, head });
      });
      // Also after the answer has begun: whoever reads it hears of it there.
      upstream.on("error", (cause) => {
        raw.unpipe(upstream);
        reject(sent ? unanswered(leader, cause) : new Untouched("not sent", { cause }));
      });
    });
  }

  /** Calls `end` when the term is over, until it is told to forget. */
  #during(term: number, end: () => void): () => void {
    const all = this.#underWay.get(term) ?? new Set();
    this.#underWay.set(term, all.add(end));
    return () => {
      all.delete(end);
      if (all.size === 0 && this.#underWay.get(term) === all) this.#underWay.delete(term);
    };
  }
}

function statementOf({ actor, via, scopes, address }: Caller, request: string): Statement {
  return { actor, via, scopes: scopes === null ? null : [...scopes], client: address ?? "unknown", request };
}

function sealedBy({ method = "", url = "" }: IncomingMessage): { method: string; url: string } {
  return { method, url };
}

function targetOf({ address }: KnownLeader, { method, url }: IncomingMessage) {
  return { ...hostAndPort(address), method, path: url, setHost: false };
}

function unanswered({ term }: KnownLeader, cause: Error): AiravataError {
  const text =
    `the coordinator that leads term ${term} was lost before it answered: what was asked may have happened; ` +
    "ask again, with the same Idempotency-Key where one was sent";
  return new AiravataError("not_leading", text, { cause });
}

function gone(): Error {
  return new Error("the client went away");
}
