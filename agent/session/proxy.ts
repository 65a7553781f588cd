/**
 * The way out through an HTTP proxy: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case, as curl reads
 * them. A WebSocket goes through by CONNECT, whatever its scheme.
 */
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { AiravataError } from "../../shared/error/error.ts";
import { secureContext, type TlsFiles } from "./trust.ts";

export type { TlsFiles } from "./trust.ts";

type Environment = Record<string, string | undefined>;

/** How this agent gets out. */
export interface Way {
  env: Environment;
  tls?: TlsFiles | undefined;
}

/** The proxy that a URL (`http`, `https`, `ws` or `wss`) is reached by; undefined: directly. Throws `setting_invalid`. Exported for tests. */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isExempt(host, portOf(url), variable(env, "no_proxy") ?? "")) return undefined;
  const text = variable(env, secure ? "https_proxy" : "http_proxy") ?? variable(env, "all_proxy");
  if (text === undefined) return undefined;
  // `proxy:3128` would be read as a URL of the scheme "proxy".
  const proxy = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (proxy.protocol === "http:") return proxy;
  const sentence = `the proxy ${proxy.protocol}//${proxy.host} cannot be used: only http:// proxies are; unset it or set NO_PROXY=${host}`;
  throw new AiravataError("setting_invalid", sentence);
}

/** A socket to the URL's host, through the proxy if there is one, with TLS if the URL says so. Rejects with `server_unreachable`, `setting_invalid`. */
export async function dial(url: URL, { env, tls = {} }: Way, timeoutMs: number): Promise<Socket> {
  const proxy = proxyFor(url, env);
  const secure = url.protocol === "wss:" || url.protocol === "https:";
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = portOf(url);
  // Names of servers go into the TLS greeting, addresses do not.
  const servername = /^[\d.]+$|:/.test(host) ? "" : host;
  const tunnel = proxy === undefined ? undefined : await connectThrough(proxy, host, port, timeoutMs);
  const socket = secure
    ? connectTls({
        ...(tunnel === undefined ? { host, port } : { socket: tunnel }),
        servername,
        secureContext: secureContext(tls),
        // Said here it holds whatever NODE_TLS_REJECT_UNAUTHORIZED says.
        rejectUnauthorized: true,
        ALPNProtocols: ["http/1.1"],
      })
    : (tunnel ?? connectNet({ host, port }));
  socket.setNoDelay(true);
  return socket;
}

async function connectThrough(proxy: URL, host: string, port: number, timeoutMs: number): Promise<Socket> {
  // Imported by name it brings the whole of fetch along, six MiB that an agent without a proxy never needs.
  const { request } = await import("node:http");
  const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const shown = `the proxy ${proxy.host}`;
  const user = decodeURIComponent(proxy.username);
  const credentials = Buffer.from(`${user}:${decodeURIComponent(proxy.password)}`).toString("base64");
  return new Promise((resolve, reject) => {
    const refuse = (sentence: string, cause?: unknown): void =>
      reject(new AiravataError("server_unreachable", sentence, { cause }));
    const asked = request({
      host: proxy.hostname,
      port: portOf(proxy),
      method: "CONNECT",
      path: target,
      timeout: timeoutMs,
      agent: false,
      headers: { host: target, ...(user !== "" && { "proxy-authorization": `Basic ${credentials}` }) },
    });
    asked.once("connect", (response, socket) => {
      if (response.statusCode === 200) resolve(socket as Socket);
      else {
        socket.destroy();
        refuse(`${shown} does not let us through to ${target}: it answered ${response.statusCode}`);
      }
    });
    // A proxy that answers anything but 2xx to CONNECT in the usual form.
    asked.once("response", (response) => {
      response.resume();
      refuse(`${shown} does not let us through to ${target}: it answered ${response.statusCode}`);
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    asked.once("error", (cause) => refuse(`${shown} cannot be reached`, cause));
    asked.end();
  });
}

function isExempt(host: string, port: number, list: string): boolean {
  return list.split(/[\s,]+/).some((entry) => {
    if (entry === "") return false;
    if (entry === "*") return true;
    const [, name = "", only] = /^\*?\.?(.+?)(?::(\d+))?$/.exec(entry) ?? [];
    if (only !== undefined && Number(only) !== port) return false;
    return host === name || host.endsWith(`.${name}`);
  });
}

function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" || url.protocol === "wss:" ? 443 : 80;
}

function variable(env: Environment, name: string): string | undefined {
  return env[name] || env[name.toUpperCase()] || undefined;
}
