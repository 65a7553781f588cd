/**
 * What stands before every request, whatever it asks: where it comes from, whether it must come by TLS, which pages of
 * other origins may ask, how often, and how slowly. Nothing here knows users or permissions.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { ServerOptions as HttpsOptions } from "node:https";
import type { Duplex } from "node:stream";
import { API_PREFIX } from "../../../shared/api/routes.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { CONNECTIONS_MAX, NETWORK_CONNECTIONS_MAX } from "../../../shared/model/constants.ts";
import type { ActorId } from "../../../shared/model/ids.ts";
import type { Statement } from "../../domain/forward/statement.ts";
import { checkAgentCertificate } from "./agent-certificate.ts";
import { type CertificateKeeper, keepCertificate, type Pair } from "./certificate.ts";
import { type ClientOrigin, createExemption, createOriginFinder, noteOrigin } from "./client.ts";
import { createCrossOrigin } from "./cross-origin.ts";
import { boundCrowd, type Crowd } from "./crowd.ts";
import { createPeerTls, type PeerTls } from "./peer.ts";
import { createRateLimits } from "./rate.ts";
import { boundAnswers, boundHandshakes, KEEP_ALIVE, PATIENCE, type Patience } from "./slow.ts";

export interface EdgeSettings {
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  caFile?: string | undefined;
  agentCaFile?: string | undefined;
  requireHttps?: boolean;
  trustedProxies?: readonly string[];
  corsOrigins?: readonly string[];
  /** Tests and `up` without a word about it count nothing. */
  rateLimit?: boolean;
  requestsPerMinute?: number;
}

export interface Edge {
  /** Whether our own listener speaks TLS. */
  readonly isTls: boolean;
  /** For fastify. */
  readonly listener:
    | { http: { connectionsCheckingInterval: number; headersTimeout: number } }
    | { https: HttpsOptions };
  readonly patience: Patience;
  /** How other coordinators are dialled. */
  readonly peer: PeerTls;
  /** Bounds what is served by it; once. */
  guard(server: Server): void;
  /**
   * The first look at a request, before anybody is known; true when it is answered already. `stated`: another coordinator
   * has done all this. Throws `https_required`, `too_many_requests`, `origin_refused`.
   */
  arrived(request: IncomingMessage, response: ServerResponse | undefined, stated: Statement | undefined): boolean;
  /** What it says as another coordinator's word is none: it counts as a client's. Throws `too_many_requests`. */
  doubted(request: IncomingMessage): void;
  /** The request is this actor's. Throws `too_many_requests`. */
  admitted(request: IncomingMessage, actor: ActorId, stated: Statement | undefined): void;
  /** Headers that the answer carries because of how the request came. */
  headers(request: IncomingMessage): Record<string, string>;
  /** An answer says no: who was not admitted keeps no connection that others lack. */
  refused(status: number, response: ServerResponse): void;
  /** The connection became a WebSocket: it is no longer counted as its network's. */
  upgraded(socket: Duplex): void;
  /** Before a WebSocket is opened. Throws `origin_refused`, `client_certificate_required`. */
  checkSocket(request: IncomingMessage, isAgent: boolean, stated: Statement | undefined): void;
  /** Days and the like for metrics. */
  figures(): Record<string, number>;
  /** Reads the certificate's files again. */
  reload(): Promise<boolean>;
  close(): void;
}

/** A year, as browsers' own lists ask for; other services of the same domain are not spoken for. */
const STRICT_TRANSPORT = "max-age=31536000";
const HEALTH_PREFIX = `${API_PREFIX}/health`;

/** Throws `setting_invalid`. */
export async function createEdge(
  settings: EdgeSettings,
  options: { log: Logger; patience?: Patience; lookMs?: number; connectionsMax?: number },
): Promise<Edge> {
  const { log, patience = PATIENCE, lookMs, connectionsMax = CONNECTIONS_MAX } = options;
  const { trustedProxies = [], requireHttps = false, agentCaFile, caFile } = settings;
  const certificate = await certificateOf(settings, { log, lookMs });
  if (requireHttps && certificate === undefined && trustedProxies.length === 0) {
    throw new AiravataError(
      "setting_invalid",
      "REQUIRE_HTTPS is set, but nothing ends TLS: set AIRAVATA_TLS_CERT and AIRAVATA_TLS_KEY, or name the proxy that does by AIRAVATA_TRUSTED_PROXIES",
    );
  }
  const find = createOriginFinder(trustedProxies);
  const isExempt = createExemption(trustedProxies);
  let crowd: Crowd | undefined;
  const cross = createCrossOrigin(settings.corsOrigins ?? []);
  const { rateLimit: enabled = false, requestsPerMinute: perMinute = 6_000 } = settings;
  const limits = createRateLimits({ enabled, perMinute });
  const origins = new WeakMap<IncomingMessage, ClientOrigin>();
  let toldProxy = false;
  const originOf = (request: IncomingMessage): ClientOrigin => {
    const origin = origins.get(request) ?? noteOrigin(request, find(request));
    origins.set(request, origin);
    return origin;
  };
  const tellProxy = (request: IncomingMessage, { address }: ClientOrigin): void => {
    if (toldProxy || trustedProxies.length > 0 || request.headers["x-forwarded-for"] === undefined) return;
    toldProxy = true;
    log.warn(
      `a proxy at ${address} says for whom it asks and is not believed: name it by AIRAVATA_TRUSTED_PROXIES, or all of its clients count as one`,
    );
  };
  return {
    isTls: certificate !== undefined,
    listener: listenerOf(certificate?.pair, patience),
    patience,
    peer: await createPeerTls({ caFile, own: () => certificate?.own ?? [] }),
    guard(server) {
      boundAnswers(server, patience);
      const perNetwork = Math.ceil((connectionsMax * NETWORK_CONNECTIONS_MAX) / CONNECTIONS_MAX);
      crowd = boundCrowd(server, { max: connectionsMax, perNetwork, isExempt, log });
      if (certificate === undefined) return;
      boundHandshakes(server, isExempt);
      certificate.onChange((pair) => {
        // Its type says plain HTTP; it is what `listener` asked for.
        (server as unknown as { setSecureContext(options: HttpsOptions): void }).setSecureContext(contextOf(pair));
      });
    },
    arrived(request, response, stated) {
      if (stated) {
        crowd?.release(request.socket);
        noteOrigin(request, { address: stated.client, isSecure: false, isLoopback: false, isLocal: false });
        return false;
      }
      const origin = originOf(request);
      tellProxy(request, origin);
      const isProbe = origin.isLoopback && (request.url ?? "").startsWith(HEALTH_PREFIX);
      if (requireHttps && !origin.isSecure && !isProbe) throw httpsRequired(certificate !== undefined);
      limits.arrived(request, origin);
      return response !== undefined && cross.preflight(request, response);
    },
    doubted: (request) => limits.arrived(request, originOf(request)),
    admitted(request, actor, stated) {
      if (!stated) limits.admitted(request, originOf(request), actor);
    },
    headers(request) {
      const isSecure = originOf(request).isSecure;
      return { ...cross.headers(request), ...(isSecure ? { "strict-transport-security": STRICT_TRANSPORT } : {}) };
    },
    refused(status, response) {
      if ((status === 401 || status === 429) && crowd?.isDense()) response.shouldKeepAlive = false;
    },
    upgraded: (socket) => crowd?.release(socket),
    checkSocket(request, isAgent, stated) {
      cross.checkSocket(request);
      if (isAgent && !stated && agentCaFile !== undefined) checkAgentCertificate(request);
    },
    figures: (): Record<string, number> => {
      const counts = crowd?.figures() ?? {};
      if (certificate === undefined) return counts;
      return { ...counts, tls_certificate_expiry_seconds: Math.floor((certificate.expiresAtMs - Date.now()) / 1_000) };
    },
    reload: async () => (await certificate?.reload()) ?? false,
    close: () => certificate?.close(),
  };
}

async function certificateOf(
  { tlsCert, tlsKey, agentCaFile }: EdgeSettings,
  options: { log: Logger; lookMs: number | undefined },
): Promise<CertificateKeeper | undefined> {
  if (tlsCert === undefined && tlsKey === undefined) {
    if (agentCaFile === undefined) return undefined;
    const text = "AIRAVATA_AGENT_CA_FILE asks agents for certificates, which only a listener with TLS can";
    throw new AiravataError("setting_invalid", `${text}: set AIRAVATA_TLS_CERT and AIRAVATA_TLS_KEY`);
  }
  if (tlsCert === undefined || tlsKey === undefined) {
    const [have, lack] =
      tlsCert === undefined ? ["AIRAVATA_TLS_KEY", "AIRAVATA_TLS_CERT"] : ["AIRAVATA_TLS_CERT", "AIRAVATA_TLS_KEY"];
    throw new AiravataError("setting_invalid", `${have} is set without ${lack}: TLS needs both`);
  }
  return keepCertificate({ certificate: tlsCert, key: tlsKey, agentCa: agentCaFile }, options);
}

function listenerOf(pair: Pair | undefined, patience: Patience): Edge["listener"] {
  const times = { ...KEEP_ALIVE, connectionsCheckingInterval: patience.lookMs, headersTimeout: patience.headersMs };
  if (pair === undefined) return { http: times };
  return { https: { ...times, handshakeTimeout: patience.handshakeMs, ...contextOf(pair) } };
}

function contextOf({ cert, key, agentCa }: Pair): HttpsOptions {
  const base = { cert, key, minVersion: "TLSv1.2" } as const;
  if (agentCa === undefined) return base;
  // Asked for and never demanded here: people and browsers come without. `ca` is for those of clients only.
  return { ...base, ca: agentCa, requestCert: true, rejectUnauthorized: false };
}

function httpsRequired(hasListener: boolean): AiravataError {
  const way = hasListener ? "use https://" : "use the https:// address of the proxy before it";
  return new AiravataError("https_required", `this coordinator answers over HTTPS only: ${way}`);
}
