/** The egress policy over real sockets: pinning against a resolver that changes its mind, redirects, limits, TLS. */
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { createEgress } from "../../../coordinator/egress/egress.ts";
import { CERTIFICATE, resolverOf, startService } from "./service.ts";

test("a name goes to the address that was checked, however often the resolver changes its mind", async (t) => {
  const service = await startService(t, (_, response) => response.end("ok"));
  const inner = await startService(t, (_, response) => response.end("secret"), { bind: "127.0.0.2" });
  const { resolve, asked } = resolverOf({ "a.test": [["127.0.0.1"], ["127.0.0.2"]] });
  const { fetch } = createEgress({ allow: ["127.0.0.1"], resolve });
  const answer = await fetch(`http://a.test:${service.port}/`);
  assert.equal(await answer.text(), "ok");
  assert.deepEqual(asked, ["a.test"]);
  // Now it says 127.0.0.2, which is not open: refused before a byte is sent.
  await assert.rejects(fetch(`http://a.test:${inner.port}/`), { code: "egress_refused", message: /loopback/ });
  assert.deepEqual(inner.asked, []);
});

test("of several addresses only those that are open are called", async (t) => {
  const service = await startService(t, (_, response) => response.end("ok"));
  const { resolve } = resolverOf({ "a.test": [["10.0.0.1", "169.254.169.254", "127.0.0.1"]] });
  const { fetch } = createEgress({ allow: ["127.0.0.1"], resolve });
  assert.equal(await (await fetch(`http://a.test:${service.port}/`)).text(), "ok");
});

test("loopback is closed by default, in every spelling, and the refusal tells no address of a name", async (t) => {
  const service = await startService(t, (_, response) => response.end("secret"));
  const { resolve } = resolverOf({ "a.test": [["127.0.0.1"]], "m.test": [["169.254.169.254"]] });
  const { fetch } = createEgress({ allow: [], resolve });
  for (const host of ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0"]) {
    await assert.rejects(fetch(`http://${host}:${service.port}/`), { code: "egress_refused" }, host);
  }
  for (const host of ["a.test", "m.test"]) {
    const error = await fetch(`http://${host}:${service.port}/`).then(
      () => assert.fail("let through"),
      (error: Error) => error,
    );
    assert.match(error.message, /AIRAVATA_EGRESS_ALLOW/);
    assert.doesNotMatch(error.message, /127\.|169\./);
  }
  assert.deepEqual(service.asked, []);
});

test("every redirect is judged anew, followed at most five times, and takes no credentials elsewhere", async (t) => {
  const headers: unknown[] = [];
  const other = await startService(t, (request, response) => {
    headers.push(request.headers.authorization, request.headers.cookie, request.headers["x-kept"]);
    response.end(request.method);
  });
  const service = await startService(t, (request, response) => {
    const n = Number(new URL(request.url ?? "", "http://x").searchParams.get("n"));
    const to: Record<string, string> = {
      "/elsewhere": `http://127.0.0.1:${other.port}/`,
      "/inside": "http://10.0.0.1/",
      "/metadata": "http://169.254.169.254/latest/meta-data/",
      "/file": "file:///etc/passwd",
      "/user": `http://a:b@127.0.0.1:${other.port}/`,
    };
    const path = request.url?.split("?")[0] ?? "";
    if (path === "/count" && n === 0) return response.end(`end ${request.method}`);
    response.writeHead(path === "/count" ? 307 : 302, { location: to[path] ?? `/count?n=${n - 1}` }).end();
  });
  const { fetch } = createEgress({ allow: ["127.0.0.1"] });
  const url = (path: string): string => `http://127.0.0.1:${service.port}${path}`;
  const kept = { authorization: "Bearer x", cookie: "a=b", "x-kept": "yes" };
  assert.equal(await (await fetch(url("/elsewhere"), { method: "POST", body: "x", headers: kept })).text(), "GET");
  assert.deepEqual(headers, [undefined, undefined, "yes"]);
  assert.equal(await (await fetch(url("/count?n=5"), { method: "PUT", body: "x" })).text(), "end PUT");
  await assert.rejects(fetch(url("/count?n=6")), { code: "egress_refused", message: /6th/ });
  await assert.rejects(fetch(url("/inside")), { code: "egress_refused", message: /private/ });
  await assert.rejects(fetch(url("/metadata")), { code: "egress_refused", message: /metadata/ });
  await assert.rejects(fetch(url("/file")), { code: "egress_refused", message: /only http and https/ });
  await assert.rejects(fetch(url("/user")), { code: "egress_refused", message: /do not belong/ });
  await assert.rejects(fetch(url("/elsewhere"), { redirect: "error" }), { code: "egress_refused" });
  assert.equal((await fetch(url("/elsewhere"), { redirect: "manual" })).status, 302);
});

test("an answer is bounded in size, said or not, and in time, before and within its body", async (t) => {
  const service = await startService(t, (request, response) => {
    if (request.url === "/said") response.setHeader("content-length", 2_000).end(Buffer.alloc(2_000));
    else if (request.url === "/unsaid") response.write(Buffer.alloc(900), () => response.end(Buffer.alloc(900)));
    else if (request.url === "/half") response.write("half");
    else if (request.url === "/packed") response.setHeader("content-encoding", "gzip").end("x");
  });
  const { fetch } = createEgress({ allow: ["127.0.0.1"] });
  const url = (path: string): string => `http://127.0.0.1:${service.port}${path}`;
  await assert.rejects(fetch(url("/said"), { sizeBytesMax: 1_999 }), { code: "egress_answer_too_large" });
  assert.equal((await (await fetch(url("/said"), { sizeBytesMax: 2_000 })).arrayBuffer()).byteLength, 2_000);
  const unsaid = await fetch(url("/unsaid"), { sizeBytesMax: 1_799 });
  await assert.rejects(unsaid.text(), { code: "egress_answer_too_large" });
  assert.equal((await (await fetch(url("/unsaid"), { sizeBytesMax: 1_800 })).arrayBuffer()).byteLength, 1_800);
  await assert.rejects(fetch(url("/never"), { timeoutMs: 100 }), { code: "egress_failed", message: /within 0.1 s/ });
  const half = await fetch(url("/half"), { timeoutMs: 300 });
  await assert.rejects(half.text(), { code: "egress_failed", message: /within 0.3 s/ });
  await assert.rejects(fetch(url("/packed")), { code: "egress_failed", message: /packed/ });
  const asked = new AbortController();
  const pending = fetch(url("/never"), { signal: asked.signal });
  asked.abort(new Error("enough"));
  await assert.rejects(pending, /enough/);
});

test("a resolver that never answers ends with the time limit", async () => {
  const { fetch } = createEgress({ allow: [], resolve: () => new Promise(() => {}) });
  await assert.rejects(fetch("http://a.test/", { timeoutMs: 50 }), { code: "egress_failed", message: /within/ });
});

test("TLS asks for the name, verifies it, and cannot be talked out of it", async (t) => {
  const service = await startService(t, (request, response) => response.end(request.headers.host), { tls: true });
  const { resolve } = resolverOf({ "service.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]] });
  const trusting = createEgress({ allow: ["127.0.0.1"], resolve, ca: CERTIFICATE });
  const answer = await trusting.fetch(`https://service.test:${service.port}/`);
  assert.equal(await answer.text(), `service.test:${service.port}`);
  assert.deepEqual(service.names, ["service.test"]);
  const refused = { code: "egress_failed", message: /did not prove/ };
  await assert.rejects(trusting.fetch(`https://other.test:${service.port}/`), refused);
  await assert.rejects(trusting.fetch(`https://127.0.0.1:${service.port}/`), refused);
  const plain = createEgress({ allow: ["127.0.0.1"], resolve });
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  t.after(() => delete process.env.NODE_TLS_REJECT_UNAUTHORIZED);
  await assert.rejects(plain.fetch(`https://service.test:${service.port}/`), refused);
  assert.equal(service.asked.length, 1);
});

test("a redirect from https to http is not followed", async (t) => {
  const plain = await startService(t, (_, response) => response.end("plain"));
  const service = await startService(
    t,
    (_, response) => response.writeHead(302, { location: `http://service.test:${plain.port}/` }).end(),
    { tls: true },
  );
  const { resolve } = resolverOf({ "service.test": [["127.0.0.1"]] });
  const { fetch } = createEgress({ allow: ["service.test"], resolve, ca: CERTIFICATE });
  await assert.rejects(fetch(`https://service.test:${service.port}/`), {
    code: "egress_refused",
    message: /https to http/,
  });
  assert.deepEqual(plain.asked, []);
});

test("no proxy of the environment is used", async (t) => {
  const proxy = await startService(t, (_, response) => response.end("proxy"));
  const service = await startService(t, (_, response) => response.end("direct"));
  for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"]) {
    process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : `http://127.0.0.1:${proxy.port}`;
    t.after(() => delete process.env[name]);
  }
  const { fetch } = createEgress({ allow: ["127.0.0.1"] });
  assert.equal(await (await fetch(`http://127.0.0.1:${service.port}/`)).text(), "direct");
  assert.deepEqual(proxy.asked, []);
});

test("nothing there, no HTTP there, an answer that breaks off: a sentence each", async () => {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.once("data", (data) => {
      const isBroken = data.toString().startsWith("GET /broken");
      socket.end(isBroken ? "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf" : "220 ssh or mail\r\n");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const { fetch } = createEgress({ allow: ["127.0.0.1"] });
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`), { code: "egress_failed", message: /as HTTP servers do/ });
  const broken = await fetch(`http://127.0.0.1:${port}/broken`);
  await assert.rejects(broken.text(), { code: "egress_failed", message: /broke off/ });
  for (const socket of open) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`), { code: "egress_failed", message: /cannot be reached/ });
  await assert.rejects(fetch("http://no.such.name.invalid/"), { code: "egress_failed", message: /cannot be resolved/ });
});

test("connect gives a plain socket to a host that is open", async (t) => {
  const service = await startService(t, (_, response) => response.end("ok"));
  const { connect } = createEgress({ allow: ["127.0.0.1"] });
  const target = { host: "127.1", port: service.port, tls: false };
  const socket = await connect(target, AbortSignal.timeout(10_000));
  assert.equal(socket.remoteAddress, "127.0.0.1");
  socket.destroy();
  const closed = createEgress({ allow: [] });
  await assert.rejects(closed.connect(target, AbortSignal.timeout(10_000)), { code: "egress_refused" });
  await assert.rejects(connect({ ...target, host: "a b" }, AbortSignal.timeout(10_000)), { code: "egress_refused" });
});
