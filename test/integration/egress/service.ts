/** A small HTTP service on loopback with a certificate for `service.test`, and a resolver that can be told what to say. */
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** Self-signed, for tests only, until 2126. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBnTCCAUSgAwIBAgIUAZ5usvo6ACdHvosaHO9Ln8ueZ40wCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2VydmljZS50ZXN0MCAXDTI2MTEyNDEyMTQwOFoYDzIxMjYx
MDMxMTIxNDA4WjAXMRUwEwYDVQQDDAxzZXJ2aWNlLnRlc3QwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAASYUruF8XWPDFI8xTQeHriPaGPSvTz46Nf/NDCy8AWUvrJK
HTgtwez/N7HoIrlmAodo0V+Sw3Jxhr13AqpJChFfo2wwajAdBgNVHQ4EFgQUyqmF
1KFyesBCZmISsVVidjBKFNkwHwYDVR0jBBgwFoAUyqmF1KFyesBCZmISsVVidjBK
FNkwDwYDVR0TAQH/BAUwAwEB/zAXBgNVHREEEDAOggxzZXJ2aWNlLnRlc3QwCgYI
KoZIzj0EAwIDRwAwRAIgTwToBPgqJd+zDWisr6C15YR4aeRO0aGle0lEedCK+9EC
IEiN+ER0/o/m61pssfHn2G70vHIY1ndLug6sLPkZll26
-----END CERTIFICATE-----`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/YTj163AuugtLv05
1AYg6TtJ6r0/nzpGmYjfX6Z/E+6hRANCAASYUruF8XWPDFI8xTQeHriPaGPSvTz4
6Nf/NDCy8AWUvrJKHTgtwez/N7HoIrlmAodo0V+Sw3Jxhr13AqpJChFf
-----END PRIVATE KEY-----`;

export interface Service {
  port: number;
  /** What was asked, as `METHOD path`. */
  asked: string[];
  /** Names that clients asked for by TLS. */
  names: (string | false)[];
}

export async function startService(
  t: TestContext,
  handler: RequestListener,
  options: { tls?: boolean; bind?: string } = {},
): Promise<Service> {
  const service: Service = { port: 0, asked: [], names: [] };
  const listener: RequestListener = (request, response) => {
    service.asked.push(`${request.method} ${request.url}`);
    handler(request, response);
  };
  const server = options.tls
    ? createHttpsServer({ cert: CERTIFICATE, key: KEY }, listener)
    : createHttpServer(listener);
  server.on("secureConnection", (socket) => service.names.push(socket.servername));
  await new Promise<void>((resolve) => server.listen(0, options.bind ?? "127.0.0.1", resolve));
  service.port = (server.address() as AddressInfo).port;
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return service;
}

/** Answers a name's lists in turn and then the last one again; counts how often it was asked. */
export function resolverOf(names: Record<string, string[][]>) {
  const asked: string[] = [];
  const resolve = async (host: string): Promise<string[]> => {
    const answers = names[host];
    asked.push(host);
    if (answers === undefined) throw new Error(`no such name: ${host}`);
    return (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
  };
  return { resolve, asked };
}
