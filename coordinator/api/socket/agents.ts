/**
 * The agents' WebSocket: challenge, proven hello within five seconds, then frames both ways. One session per connection.
 * A broken, hostile or flooding peer loses its connection and nothing else: no frame reaches the dispatcher unproven or
 * undecoded, and nothing that an agent sends may throw past this file.
 */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { ErrorCode } from "../../../shared/error/catalogue.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import {
  AGENT_UNSENT_BYTES_MAX,
  AGENT_UNSENT_PAUSE_BYTES,
  FILE_WINDOW_BYTES,
  HELLO_TIMEOUT_MS,
  UNPROVEN_SOCKETS_MAX,
} from "../../../shared/model/constants.ts";
import { type AgentId, SYSTEM_ACTOR } from "../../../shared/model/ids.ts";
import { decodeFromAgent, encodeFrames } from "../../../shared/protocol/codec.ts";
import type { FromAgent, Reaction, ToAgent } from "../../../shared/protocol/messages.ts";
import type { AgentFigures } from "../../domain/agent/figures.ts";
import type { AgentFiles, FileRead } from "../../domain/agent/files.ts";
import type { AgentNotices } from "../../domain/agent/notices.ts";
import type { AgentSession, AgentSessions } from "../../domain/agent/session.ts";
import type { Refusal, RefusalLog } from "../../domain/audit/refusals.ts";
import type { AgentPrograms, UpdateState } from "../../domain/release/programs.ts";
import { closeSocket } from "./close.ts";
import { writeFrame } from "./frame.ts";
import { AgentRequests } from "./requests.ts";

export interface AgentSockets {
  /** Throws `too_many_connections` or `not_leading` before the upgrade is answered. */
  admit(): void;
  /** `stream` is what the socket was opened on. */
  accept(socket: WebSocket, stream: Duplex, address: string | null): void;
  files: AgentFiles;
  programs: AgentPrograms;
  /** Proven sessions, for figures. */
  sessions(): number;
  close(): void;
}

/** The version of the protocol from which on updates are spoken of. */
const UPDATES_SINCE = 2;

/** What stands for a close code when the peer sent none. */
const CLOSED_UNANSWERED = 1006;

/** What an agent must do about our refusals; every other one means: come back later. */
const REACTIONS: Partial<Record<ErrorCode, Reaction>> = {
  agent_revoked: "enrol",
  hello_refused: "enrol",
  protocol_version_unsupported: "stop",
};

export function createAgentSockets(options: {
  sessions: AgentSessions;
  figures: AgentFigures;
  notices: AgentNotices;
  refusals: RefusalLog;
  log: Logger;
  reportUpdate(agent: AgentId, state: UpdateState): Promise<void>;
}): AgentSockets {
  const { sessions, figures, notices, refusals, log, reportUpdate } = options;
  const open = new Set<AgentSocket>();
  const proven = new Map<AgentId, AgentSocket>();
  const room: Room = {
    sessions,
    figures,
    notices,
    refusals,
    log,
    reportUpdate: (agent, state) => {
      reportUpdate(agent, state).catch((error: unknown) => {
        // It tells again after its next welcome, and a rollout asks who is silent.
        log.warn("what an agent says about its update could not be kept", { agent, error });
      });
    },
    proven: (agent, socket) => void proven.set(agent, socket),
    isProven: (agent, socket) => proven.get(agent) === socket,
    gone: (agent, socket) => {
      open.delete(socket);
      if (agent === undefined || proven.get(agent) !== socket) return;
      proven.delete(agent);
      figures.gone(agent);
    },
  };
  const closeAll = (code: ErrorCode, reason: string): void => {
    for (const socket of [...open]) socket.refuse(new AiravataError(code, reason));
  };
  const stopListening = sessions.onDeposed(() => closeAll("not_leading", "this coordinator no longer leads"));
  return {
    admit() {
      // Every open one that is not proven counts, also while its key is looked up.
      if (open.size - proven.size >= UNPROVEN_SOCKETS_MAX) {
        const text = `${UNPROVEN_SOCKETS_MAX} agents are connecting at once, which is the bound`;
        throw new AiravataError("too_many_connections", text);
      }
      sessions.challenge();
    },
    accept(socket, stream, address) {
      open.add(new AgentSocket(socket, stream, address, room));
    },
    files: filesOf(proven),
    programs: {
      platform: (agent) => proven.get(agent)?.platform,
      ask: (agent, message) => proven.get(agent)?.ask(message),
    },
    sessions: () => proven.size,
    close() {
      stopListening();
      closeAll("stopping", "the coordinator is shutting down");
    },
  };
}

function filesOf(proven: Map<AgentId, AgentSocket>): AgentFiles {
  const requestsOf = (agent: AgentId): AgentRequests => {
    const socket = proven.get(agent);
    if (socket) return socket.requests;
    throw new AiravataError("agent_offline", `agent ${agent} has no session now, and the file is on its disk`);
  };
  return {
    list: async (agent, group, signal) => requestsOf(agent).list(group, signal),
    async *read(agent, { file, offset, limit, follow, signal }: FileRead) {
      let at = offset;
      let rest = limit;
      do {
        const windowBytes = Math.min(rest, FILE_WINDOW_BYTES);
        const before = at;
        // Asked anew for each window: the agent may have come back on another socket meanwhile.
        const chunks = requestsOf(agent).read({ file, offset: at, limit: windowBytes, follow }, signal);
        for await (const chunk of chunks) {
          at += chunk.data.length;
          yield { data: chunk.data, totalBytes: chunk.totalBytes };
        }
        rest -= at - before;
        // A window that came short is the end of the file.
        if (at - before < windowBytes) return;
      } while (rest > 0);
    },
  };
}

interface Room {
  sessions: AgentSessions;
  figures: AgentFigures;
  notices: AgentNotices;
  refusals: RefusalLog;
  log: Logger;
  reportUpdate(agent: AgentId, state: UpdateState): void;
  proven(agent: AgentId, socket: AgentSocket): void;
  isProven(agent: AgentId, socket: AgentSocket): boolean;
  gone(agent: AgentId | undefined, socket: AgentSocket): void;
}

/** Connections accepted by this process so far. */
let accepted = 0;

class AgentSocket {
  private readonly number = ++accepted;
  readonly requests: AgentRequests;
  /** Null: its program does not know updates. */
  platform: string | null = null;
  private readonly socket: WebSocket;
  private readonly stream: Duplex;
  private readonly address: string | null;
  private readonly room: Room;
  private readonly challenge: Extract<ToAgent, { type: "challenge" }>;
  private readonly helloTimer: NodeJS.Timeout;
  private agent: AgentId | undefined;
  /** The agent that its hello claimed. */
  private claimed: AgentId | undefined;
  /** What it was told when a later session of its identity ended it. */
  private overtaken: string | undefined;
  private session: AgentSession | undefined;
  /** A hello came and its key is being looked up. */
  private proving = false;
  private closing = false;

  constructor(socket: WebSocket, stream: Duplex, address: string | null, room: Room) {
    this.socket = socket;
    this.stream = stream;
    this.address = address;
    this.room = room;
    this.requests = new AgentRequests((message) => this.send(message));
    socket.on("message", (data, isBinary) => this.onFrame(data as Buffer, isBinary));
    socket.on("error", (error) => room.log.debug("an agent's socket failed", { agent: this.agent, error }));
    socket.on("close", (code) => this.onClosed(code));
    this.helloTimer = setTimeout(() => {
      const text = `no proven hello came within ${HELLO_TIMEOUT_MS / 1000} s`;
      this.refuse(new AiravataError("hello_timeout", text));
    }, HELLO_TIMEOUT_MS);
    this.challenge = room.sessions.challenge();
    this.send(this.challenge);
  }

  /** Of a program that knows updates; others answer that they know no such message. */
  ask(message: Extract<ToAgent, { type: "update" }>): void {
    if (this.platform !== null) this.send(message);
  }

  /** Says why and ends the connection. */
  refuse(error: AiravataError): void {
    if (this.closing) return;
    const reaction = REACTIONS[error.code] ?? "reconnect";
    this.send({ type: "error", code: error.code, message: error.message, reaction });
    this.end(error.message);
  }

  private end(reason: string): void {
    if (this.closing) return;
    this.closing = true;
    clearTimeout(this.helloTimer);
    closeSocket(this.socket, reason);
  }

  private onFrame(frame: Buffer, isBinary: boolean): void {
    if (this.closing) return;
    try {
      if (!isBinary) throw new AiravataError("frame_invalid", "frames are binary MessagePack, not text");
      const message = decodeFromAgent(frame);
      if (message.type === "unknown") {
        this.send({
          type: "error",
          code: "frame_invalid",
          message: `this coordinator knows no message "${message.name}"`,
          reaction: "none",
        });
        return;
      }
      this.onMessage(message);
    } catch (error) {
      this.failed(error);
    }
  }

  private onMessage(message: FromAgent): void {
    if (message.type === "hello") {
      void this.onHello(message).catch((error: unknown) => this.failed(error));
      return;
    }
    if (this.session === undefined) {
      throw new AiravataError("frame_invalid", `"${message.type}" came before the hello was accepted`);
    }
    if (message.type === "chunk" || message.type === "listed") this.requests.receive(message);
    else if (message.type === "update_state") this.room.reportUpdate(this.agent as AgentId, message);
    else if (message.type === "error")
      this.room.log.warn("an agent reports an error", { agent: this.agent, ...message });
    else if (message.type === "metrics") {
      // An older connection of an agent has nothing to say about now.
      if (this.agent !== undefined && this.room.isProven(this.agent, this))
        this.room.figures.receive(this.agent, message);
    } else this.session.receive(message);
  }

  private async onHello(hello: Extract<FromAgent, { type: "hello" }>): Promise<void> {
    if (this.proving) throw new AiravataError("frame_invalid", "a second hello on one connection");
    this.proving = true;
    this.claimed = hello.agent;
    const peer = {
      number: this.number,
      send: (message: ToAgent) => this.send(message),
      close: (reason: string) => this.end(reason),
    };
    const session = await this.room.sessions.attach(hello, this.challenge, peer);
    // It may have gone while its key was looked up; then the session ends as soon as it began.
    if (this.closing || this.socket.readyState !== this.socket.OPEN) return session.disconnected();
    clearTimeout(this.helloTimer);
    this.agent = hello.agent;
    this.platform = hello.version >= UPDATES_SINCE ? (hello.platform ?? null) : null;
    this.session = session;
    this.room.proven(hello.agent, this);
    this.room.notices.connected(hello.agent, this.address);
  }

  /** Another process has the identity that this socket proved: its operator must know, for neither of the two can tell. */
  private noteShared(message: Extract<ToAgent, { type: "error" }>): void {
    if (message.code !== "agent_identity_shared" || this.claimed === undefined) return;
    if (message.reaction === "reconnect") this.tellShared(message.message);
    // A dead connection that the agent itself replaced says nothing; one whose process still answers does.
    else if (message.reaction === "stop") this.overtaken = message.message;
  }

  private tellShared(message: string): void {
    this.room.notices.tell(this.claimed as AgentId, "identity_shared", message, this.address);
  }

  private failed(error: unknown): void {
    if (error instanceof AiravataError) {
      this.room.log.info("an agent's connection is refused", { agent: this.agent, error });
      if (REACTIONS[error.code] === "enrol") this.room.refusals.record(refusedHello(error, this.claimed, this.address));
      this.refuse(error);
      return;
    }
    this.room.log.error("an agent's message failed", { agent: this.agent, error });
    this.refuse(new AiravataError("internal", "the coordinator failed at a message of this agent"));
  }

  /** Never blocks, never throws. */
  private send(message: ToAgent): void {
    if (this.closing || this.socket.readyState !== this.socket.OPEN) return;
    let frames: Uint8Array[];
    try {
      frames = encodeFrames(message);
    } catch (error) {
      this.room.log.error("a message for an agent does not fit a frame", {
        agent: this.agent,
        type: message.type,
        error,
      });
      this.end("a message could not be sent");
      return;
    }
    if (message.type === "error") this.noteShared(message);
    for (const frame of frames) writeFrame(this.socket, this.stream, frame, this.onSent);
    const unsent = this.socket.bufferedAmount;
    if (unsent > AGENT_UNSENT_BYTES_MAX) {
      this.room.log.warn("an agent does not read what it is sent; cutting it off", { agent: this.agent, unsent });
      this.socket.terminate();
    } else if (unsent > AGENT_UNSENT_PAUSE_BYTES && !this.socket.isPaused) {
      // Who does not listen is not listened to: its next requests would only make more to send.
      this.socket.pause();
    }
  }

  private readonly onSent = (): void => {
    if (this.socket.isPaused && this.socket.bufferedAmount < AGENT_UNSENT_PAUSE_BYTES / 2) this.socket.resume();
  };

  private onClosed(code: number): void {
    const reason = `closed with ${code}`;
    this.closing = true;
    if (this.overtaken !== undefined && code !== CLOSED_UNANSWERED) this.tellShared(this.overtaken);
    clearTimeout(this.helloTimer);
    this.requests.close(reason);
    this.room.gone(this.agent, this);
    try {
      this.session?.disconnected();
    } catch (error) {
      this.room.log.error("ending an agent's session failed", { agent: this.agent, error });
    }
  }
}

/** Whose key it was is known of a revoked one alone: of any other hello the number is its sender's to choose. */
function refusedHello({ code }: AiravataError, claimed: AgentId | undefined, address: string | null): Refusal {
  const by = { actor: SYSTEM_ACTOR, via: "nobody", address, request: null };
  const resource = code === "agent_revoked" && claimed !== undefined ? { type: "agent", id: String(claimed) } : null;
  return { by, route: "agentSession", resource, code };
}
