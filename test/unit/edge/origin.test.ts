/** Where a request comes from, through which proxies, and which web pages may ask. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { test } from "node:test";
import { clientAddress, createOriginFinder, noteOrigin } from "../../../coordinator/api/edge/client.ts";
import { createCrossOrigin } from "../../../coordinator/api/edge/cross-origin.ts";

function request(options: {
  method?: string;
  headers?: Record<string, string>;
  remote?: string;
  encrypted?: boolean;
}): IncomingMessage {
  const { method = "GET", headers = {}, remote = "10.0.0.1", encrypted } = options;
  return { method, url: "/", headers, socket: { remoteAddress: remote, encrypted } } as unknown as IncomingMessage;
}

test("what a stranger says of himself is not believed", () => {
  const find = createOriginFinder([]);
  const headers = { "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https" };
  const seen = find(request({ headers, remote: "::ffff:10.0.0.1" }));
  assert.deepEqual(seen, { address: "10.0.0.1", isSecure: false, isLoopback: false, isLocal: false });
  // Who asks for somebody else is not on this machine, whatever it says.
  assert.equal(find(request({ headers, remote: "127.0.0.1" })).isLocal, false);
  assert.equal(find(request({ headers: { forwarded: "for=192.0.2.7" }, remote: "::1" })).isLocal, false);
  for (const remote of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) {
    assert.equal(find(request({ remote })).isLocal, true, remote);
  }
  assert.equal(find(request({ encrypted: true })).isSecure, true);
});

test("hops are believed as far as each of them is trusted", () => {
  const find = createOriginFinder(["10.0.0.0/8", "127.0.0.1", "2001:db8:9::/48"]);
  const address = (forwarded: string, remote?: string): string =>
    find(request({ headers: { "x-forwarded-for": forwarded }, ...(remote === undefined ? {} : { remote }) })).address;
  assert.equal(address("192.0.2.7"), "192.0.2.7");
  assert.equal(address("192.0.2.7", "::ffff:10.1.2.3"), "192.0.2.7");
  assert.equal(address("1.1.1.1, 192.0.2.7, 10.9.9.9"), "192.0.2.7");
  assert.equal(address("10.1.1.1, 10.2.2.2"), "10.1.1.1");
  assert.equal(address("192.0.2.7", "172.16.0.1"), "172.16.0.1");
  assert.equal(address("192.0.2.7:4711"), "192.0.2.7");
  assert.equal(address("[2001:db8::7]:4711"), "2001:db8::7");
  assert.equal(address("2001:db8:9::1, 2001:db8:9::2"), "2001:db8:9::1");
  assert.equal(address("192.0.2.7", "2001:db8:9::2"), "192.0.2.7");
  // What is no address ends the chain: the nearest that is one counts.
  assert.equal(address("192.0.2.7, unknown"), "10.0.0.1");
  assert.equal(address("192.0.2.7, <script>, 10.2.2.2"), "10.2.2.2");
  assert.equal(address(""), "10.0.0.1");
  // A trusted proxy on this machine may say nothing: what is open to loopback alone stays closed.
  const silent = find(request({ remote: "127.0.0.1" }));
  assert.deepEqual([silent.isLoopback, silent.isLocal], [true, false]);
});

test("a trusted proxy says how it was asked, the nearest last", () => {
  const find = createOriginFinder(["10.0.0.1"]);
  const secure = (proto: string, remote = "10.0.0.1"): boolean =>
    find(request({ headers: { "x-forwarded-proto": proto }, remote })).isSecure;
  assert.equal(secure("https"), true);
  assert.equal(secure("HTTPS"), true);
  assert.equal(secure("http, https"), true);
  assert.equal(secure("https, http"), false);
  assert.equal(secure("http"), false);
  assert.equal(secure("https", "10.0.0.2"), false);
});

test("networks that are none are refused with a sentence", () => {
  for (const entry of ["proxy", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "10.0.0/8", "10.0.0.0/-1", ""]) {
    assert.throws(() => createOriginFinder([entry]), { code: "setting_invalid" }, entry);
  }
  createOriginFinder(["10.0.0.0/0", "::/0"]);
});

test("the address that was found is the one that counts", () => {
  const asked = request({ remote: "::ffff:10.0.0.9" });
  assert.equal(clientAddress(asked), "10.0.0.9");
  noteOrigin(asked, { address: "192.0.2.7", isSecure: true, isLoopback: false, isLocal: false });
  assert.equal(clientAddress(asked), "192.0.2.7");
  assert.equal(clientAddress({ headers: {}, socket: {} } as unknown as IncomingMessage), "unknown");
});

test("WebSockets of pages: none, the same, the listed, and all others", () => {
  const cross = createCrossOrigin(["https://portal.example.org"]);
  const host = "server:8080";
  const check = (headers: Record<string, string>): void => cross.checkSocket(request({ headers }));
  check({ host });
  for (const origin of ["http://server:8080", "https://server:8080", "https://portal.example.org"]) {
    check({ host, origin });
  }
  for (const origin of [
    "http://server",
    "http://server:8081",
    "https://evil.example",
    "null",
    "http://server:8080.evil",
    "http://portal.example.org",
    "https://portal.example.org:8443",
    "https://portal.example.org.evil",
    "https://PORTAL.example.org",
  ]) {
    assert.throws(() => check({ host, origin }), { code: "origin_refused" }, origin);
  }
});

test("preflights: of listed origins only, and never with credentials", () => {
  const cross = createCrossOrigin(["https://portal.example.org"]);
  const answers: { status: number; headers: Record<string, string> }[] = [];
  const response = {
    writeHead: (status: number, headers: Record<string, string>) => answers.push({ status, headers }),
    end() {},
  } as unknown as ServerResponse;
  const ask = (origin: string, method = "OPTIONS"): boolean =>
    cross.preflight(request({ method, headers: { origin, "access-control-request-method": "POST" } }), response);
  assert.equal(ask("https://portal.example.org", "POST"), false);
  assert.equal(cross.preflight(request({ method: "OPTIONS" }), response), false);
  assert.throws(() => ask("https://evil.example"), { code: "origin_refused" });
  assert.throws(() => ask("null"), { code: "origin_refused" });
  assert.equal(answers.length, 0);
  assert.equal(ask("https://portal.example.org"), true);
  const { status, headers = {} } = answers[0] ?? {};
  assert.equal(status, 204);
  assert.equal(headers["access-control-allow-origin"], "https://portal.example.org");
  assert.equal(headers["access-control-allow-credentials"], undefined);
  assert.match(headers["access-control-allow-headers"] ?? "", /authorization, content-type, idempotency-key/);
  const headersFor = (origin: string) => cross.headers(request({ headers: { origin } }));
  assert.equal(headersFor("https://portal.example.org")["access-control-allow-origin"], "https://portal.example.org");
  assert.deepEqual(headersFor("https://evil.example"), { vary: "origin" });
  assert.deepEqual(createCrossOrigin([]).headers(request({ headers: { origin: "https://evil.example" } })), {});
});

test("origins that are none are refused with a sentence", () => {
  for (const origin of ["*", "null", "portal.example.org", "https://portal.example.org/", "https://a/b", "file:///x"]) {
    assert.throws(() => createCrossOrigin([origin]), { code: "setting_invalid" }, origin);
  }
});
