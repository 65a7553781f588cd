/** What answers in place of OpenBao, or does not: each has its sentence, and none of them gets more than it must. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, type Server } from "node:net";
import { type TestContext, test } from "node:test";
import type { Vault } from "../../../coordinator/domain/credential/vault.ts";
import { createOpenBao } from "../../../coordinator/vault/openbao/openbao.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { CERTIFICATE_KEY, CERTIFICATE_PEM } from "../../unit/credential/keys.ts";
import { freshPath, refused } from "./suite.ts";

const TIMEOUT_MS = 1_000;

function vaultAt(t: TestContext, address: string): Vault {
  const vault = createOpenBao({
    address,
    login: { token: "s.the-token-of-this-test" },
    credentialsPath: "credentials",
    transitPath: "transit",
    transitKey: "credentials",
    log: silentLogger,
    timeoutMs: TIMEOUT_MS,
  });
  t.after(() => vault.close());
  return vault;
}

async function portOf(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function serve(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answer(request, response);
  });
  const port = await portOf(t, server);
  return { url: `http://127.0.0.1:${port}`, seen };
}

const put = (vault: Vault): Promise<void> => vault.put(freshPath(), Buffer.from("secret"));

test("a redirect is not followed: the token goes where it was meant to go and nowhere else", async (t) => {
  const other = await serve(t, (_, response) => response.end("{}"));
  const at = await serve(t, (_, response) => {
    response.writeHead(307, { location: `${other.url}/v1/transit/encrypt/credentials` }).end();
  });
  await assert.rejects(put(vaultAt(t, at.url)), refused("vault_failed", /sends us elsewhere \(307\)/));
  assert.deepEqual([at.seen.length > 0, other.seen.length], [true, 0]);
});

test("proxies and VAULT_ variables of the environment are for other programs", async (t) => {
  const proxy = await serve(t, (_, response) => response.end("{}"));
  const at = await serve(t, (_, response) => response.writeHead(503).end('{"errors":["Vault is sealed"]}'));
  const set = { HTTP_PROXY: proxy.url, http_proxy: proxy.url, VAULT_NAMESPACE: "other", VAULT_PREFIX: "/other" };
  const before = { ...process.env };
  Object.assign(process.env, set, { VAULT_TOKEN: "s.of-somebody-else", VAULT_ADDR: proxy.url });
  t.after(() => {
    process.env = before;
  });
  await assert.rejects(put(vaultAt(t, at.url)), refused("vault_sealed"));
  assert.equal(proxy.seen.length, 0);
  for (const { url, headers } of at.seen) {
    assert.match(url ?? "", /^\/v1\/(auth|transit)\//);
    assert.equal(headers["x-vault-token"], "s.the-token-of-this-test");
    assert.equal(headers["x-vault-namespace"], undefined);
  }
});

test("what is not OpenBao is told to be none, and its page is not repeated", async (t) => {
  const page = await serve(t, (_, response) => response.end("<html>a login page of the site</html>"));
  await assert.rejects(put(vaultAt(t, page.url)), (error) => {
    assert.doesNotMatch(String(error), /login page/);
    return refused("vault_unreachable", /is not OpenBao \(HTTP 200\)/)(error);
  });
  const broken = await serve(t, (_, response) => response.writeHead(502).end("<html>bad gateway</html>"));
  await assert.rejects(put(vaultAt(t, broken.url)), refused("vault_unreachable", /not now: HTTP 502/));
  const endless = await serve(t, (_, response) => {
    response.on("error", () => {});
    response.write(Buffer.alloc(2 * 1024 * 1024, 0x20));
  });
  await assert.rejects(put(vaultAt(t, endless.url)), refused("vault_unreachable", /EMSGSIZE/));
  const slow = await serve(t, (_, response) => void response.write("{"));
  await assert.rejects(put(vaultAt(t, slow.url)), refused("vault_unreachable", /did not answer within 1 s/));
});

test("a certificate that nobody vouches for is refused, whatever the environment says", async (t) => {
  const server = createTlsServer({ cert: CERTIFICATE_PEM, key: CERTIFICATE_KEY }, (_, response) => response.end("{}"));
  const port = await portOf(t, server);
  process.env.VAULT_SKIP_VERIFY = "true";
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  t.after(() => {
    delete process.env.VAULT_SKIP_VERIFY;
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });
  const vault = vaultAt(t, `https://127.0.0.1:${port}`);
  await assert.rejects(put(vault), refused("vault_unreachable", /not trusted \(\w+\): .* NODE_EXTRA_CA_CERTS/));
});

test("a network that swallows everything is told apart from a server that is frozen", async (t) => {
  // A queue that is full and that nobody empties: the kernel drops what comes, as a cut network does.
  const script =
    "require('net').createServer().listen({port:0,host:'127.0.0.1',backlog:1},function(){console.log(this.address().port)})";
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
  t.after(async () => {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(String(line));
  child.kill("SIGSTOP");
  const waiting = Array.from({ length: 6 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  t.after(() => {
    for (const socket of waiting) socket.destroy();
  });
  await Promise.race(waiting.map((socket) => once(socket, "connect")));
  await assert.rejects(
    put(vaultAt(t, `http://127.0.0.1:${port}`)),
    refused("vault_unreachable", /no connection to OpenBao at \S+ comes about: the network in between is cut/),
  );
});
