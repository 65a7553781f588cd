/** Headers on their way to the dispatcher and back, and the address it is found under. */
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { internalAddress, localUrl, parseInternalAddress } from "../../../coordinator/address.ts";
import { hostAndPort } from "../../../coordinator/api/forward/dial.ts";
import { answerHeaders, requestHeaders, upgradeHeaders } from "../../../coordinator/api/forward/headers.ts";

/** As Node's parser makes it, without what joins repeated ones. */
function message(method: string, ...rawHeaders: string[]): IncomingMessage {
  const headers: Record<string, string> = {};
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) headers[rawHeaders[i]!.toLowerCase()] = rawHeaders[i + 1]!;
  return { method, rawHeaders, headers } as unknown as IncomingMessage;
}

test("a request keeps its headers but those of one connection and those that say who asks", () => {
  const request = message(
    "GET",
    ...["Host", "api.example", "Range", "bytes=0-9", "If-None-Match", '"x"', "X-Forwarded-For", "192.0.2.1"],
    ...["Authorization", "Bearer secret", "Cookie", "a=secret", "Airavata-Forwarded", "forged"],
    ...["Connection", "keep-alive, X-Hop", "X-Hop", "1", "TE", "trailers", "Expect", "100-continue"],
  );
  assert.deepEqual(requestHeaders(request, "statement"), [
    ...["Host", "api.example", "Range", "bytes=0-9", "If-None-Match", '"x"', "X-Forwarded-For", "192.0.2.1"],
    ...["airavata-forwarded", "statement"],
  ]);
});

test("the length of a body is said anew, whatever else the request says of it", () => {
  const lengthOf = (...headers: string[]) => requestHeaders(message("POST", ...headers), "s").slice(2);
  assert.deepEqual(lengthOf("Content-Length", "7", "Connection", "content-length"), ["Content-Length", "7"]);
  assert.deepEqual(lengthOf("Transfer-Encoding", "chunked"), ["Transfer-Encoding", "chunked"]);
  assert.deepEqual(lengthOf(), ["Content-Length", "0"]);
  assert.deepEqual(requestHeaders(message("GET"), "s").slice(2), []);
});

test("of a WebSocket's protocols the one that carries the token stays", () => {
  const request = message("GET", "Sec-WebSocket-Protocol", "airavata.events.1, airavata.bearer.secret", "Upgrade", "x");
  const headers = upgradeHeaders(request, "s").slice(2);
  assert.deepEqual(headers, [
    "Connection",
    "Upgrade",
    "Upgrade",
    "websocket",
    "Sec-WebSocket-Protocol",
    "airavata.events.1",
  ]);
});

test("an answer keeps its headers but those of one connection", () => {
  const answer = message(
    "",
    "ETag",
    '"x"',
    "Connection",
    "keep-alive",
    "Keep-Alive",
    "timeout=72",
    "Content-Length",
    "3",
  );
  assert.deepEqual(answerHeaders(answer), ["ETag", '"x"', "Content-Length", "3"]);
});

test("where a coordinator is reached", () => {
  const at = (address: string, family = "IPv4") => ({ address, family, port: 8080 });
  assert.equal(localUrl(at("0.0.0.0")), "http://127.0.0.1:8080");
  assert.equal(localUrl(at("::", "IPv6")), "http://[::1]:8080");
  assert.equal(localUrl(at("fd00::1", "IPv6")), "http://[fd00::1]:8080");
  const of = (text: string | undefined) => internalAddress(parseInternalAddress(text), at("10.1.2.3"));
  assert.equal(of(undefined), "10.1.2.3:8080");
  assert.equal(of("node-1.cluster"), "node-1.cluster:8080");
  assert.equal(of("node-1:9000"), "node-1:9000");
  assert.equal(of("[fd00::2]"), "[fd00::2]:8080");
  assert.doesNotMatch(internalAddress(undefined, at("0.0.0.0")), /^0\.0\.0\.0/);
  for (const wrong of ["", "http://x", "a/b", "x:0", "x:65536", "user@x", "fd00::1", "x:", "a b"]) {
    assert.throws(() => parseInternalAddress(wrong), { code: "setting_invalid" }, wrong);
  }
  assert.deepEqual(hostAndPort("[fd00::2]:80"), { host: "fd00::2", port: 80, isTls: false });
  assert.deepEqual(hostAndPort("node-1:9000"), { host: "node-1", port: 9000, isTls: false });
  assert.deepEqual(hostAndPort("tls://[fd00::2]:80"), { host: "fd00::2", port: 80, isTls: true });
});
