/**
 * One WebSocket to the coordinator: opening it, frames in and out, and how full its queue is. What the frames mean is its
 * owner's business. Nothing here throws at its owner: whatever goes wrong ends in `closed` with a sentence, once.
 */
import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { causeChain, errorLine } from "../../shared/error/error.ts";
import { tlsSentence } from "../../shared/error/tls.ts";
import { FRAME_BYTES_MAX } from "../../shared/model/constants.ts";
import { decodeToAgent, encodeFrames, type UnknownMessage } from "../../shared/protocol/codec.ts";
import { FrameError } from "../../shared/protocol/frame-error.ts";
import type { FromAgent, ToAgent } from "../../shared/protocol/messages.ts";
import { dial, type TlsFiles } from "./proxy.ts";

/** Beyond it reports wait: two frames, more than a round trip carries on any line that is not broken. */
const QUEUE_FULL_BYTES = 2 * FRAME_BYTES_MAX;
const CLOSE_TIMEOUT_MS = 1_000;

export interface SocketOptions {
  /** `http(s)://host:port` of the coordinator. */
  apiUrl: string;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
  /** Version of the program, for the server's log. */
  program: string;
  /** For opening, all in all. */
  timeoutMs: number;
  opened(): void;
  message(message: ToAgent | UnknownMessage): void;
  closed(reason: string): void;
  /** The queue was full and no longer is. */
  drained(): void;
}

export class SessionSocket {
  readonly #options: SocketOptions;
  #socket: WebSocket | undefined;
  #over = false;
  #full = false;
  readonly #gone = Promise.withResolvers<void>();

  constructor(options: SocketOptions) {
    this.#options = options;
    void this.#open();
  }

  /** Resolves when nothing of it is open any more. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** False while the queue is full: send nothing but renewals and answers then. */
  get writable(): boolean {
    this.#full = this.queuedBytes > QUEUE_FULL_BYTES;
    return !this.#full;
  }

  /** Sends a message, in several frames if it must be. Dropped when the socket is not open. */
  send(message: FromAgent): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    for (const frame of encodeFrames(message)) socket.send(frame, () => this.#sent());
  }

  /** Closes after what was sent; nothing more is told to the owner. */
  close(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    const socket = this.#socket;
    if (socket === undefined) {
      this.#gone.resolve();
      return;
    }
    if (socket.readyState !== WebSocket.OPEN) {
      socket.terminate();
      return;
    }
    // A close frame holds 123 bytes of text.
    socket.close(
      1000,
      Buffer.from(reason)
        .subarray(0, 100)
        .toString()
        .replace(/\uFFFD$/, ""),
    );
    setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  async #open(): Promise<void> {
    const { apiUrl, env, tls, program, timeoutMs } = this.#options;
    try {
      const url = sessionUrl(apiUrl);
      const way = await dial(url, { env, tls }, timeoutMs);
      if (this.#over) {
        way.destroy();
        return;
      }
      const socket = new WebSocket(url, {
        createConnection: () => way,
        perMessageDeflate: false,
        maxPayload: FRAME_BYTES_MAX,
        handshakeTimeout: timeoutMs,
        followRedirects: false,
        headers: { "user-agent": `airavata-agent/${program}` },
      });
      this.#socket = socket;
      this.#listen(socket);
    } catch (error) {
      this.#end(errorLine(error));
    }
  }

  #listen(socket: WebSocket): void {
    let refusal: string | undefined;
    socket.binaryType = "nodebuffer";
    socket.on("open", () => {
      if (!this.#over) this.#options.opened();
    });
    socket.on("message", (data, isBinary) => this.#onFrame(data as Buffer, isBinary));
    socket.on("unexpected-response", (asked, response) => {
      void sentenceOf(response, this.#options.apiUrl).then((sentence) => {
        refusal = sentence;
        asked.destroy();
        this.#end(sentence);
      });
    });
    socket.on("error", (error) => this.#end(refusal ?? connectSentence(error, this.#options.apiUrl)));
    socket.on("close", (code, reason) => {
      this.#gone.resolve();
      const text = reason.length > 0 ? `: ${reason.toString()}` : "";
      this.#end(refusal ?? `the coordinator closed the session (${code})${text}`);
    });
  }

  #onFrame(data: Buffer, isBinary: boolean): void {
    if (this.#over) return;
    try {
      if (!isBinary) throw new FrameError("the frame is text");
      this.#options.message(decodeToAgent(data));
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      // A coordinator that sends nonsense is not trusted with the rest either.
      this.send({ type: "error", code: error.code, message: error.message, reaction: "reconnect" });
      this.#socket?.close(1002);
      this.#end(`the coordinator sent a frame that is none: ${error.message}`);
    }
  }

  #sent(): void {
    if (!this.#full || this.#over || this.queuedBytes > QUEUE_FULL_BYTES / 2) return;
    this.#full = false;
    this.#options.drained();
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#socket === undefined) this.#gone.resolve();
    this.#socket?.terminate();
    this.#options.closed(reason);
  }
}

/** Where agents' sessions are. */
function sessionUrl(apiUrl: string): URL {
  const url = new URL(apiUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/api/v1/agent/session`;
  return url;
}

/** What a server that answered with HTTP instead of a WebSocket means. */
async function sentenceOf(response: IncomingMessage, apiUrl: string): Promise<string> {
  let body = "";
  for await (const chunk of response) {
    body += String(chunk);
    if (body.length > 16_384) break;
  }
  try {
    const { detail } = JSON.parse(body) as { detail?: unknown };
    if (typeof detail === "string") return `${apiUrl} refused the session: ${detail}`;
  } catch {
    // No problem document: not our server, or something before it.
  }
  return `${apiUrl} answered ${response.statusCode} where agents' sessions should be: is it the coordinator's address?`;
}

function connectSentence(error: Error, apiUrl: string): string {
  const codes = causeChain(error).map((link) => link.code);
  if (codes.includes("ENOTFOUND") || codes.includes("EAI_AGAIN")) return `the name in ${apiUrl} cannot be resolved`;
  if (codes.includes("ECONNREFUSED")) return `nothing listens at ${apiUrl}`;
  return `${apiUrl} cannot be reached: ${tlsSentence(error) ?? errorLine(error)}`;
}
