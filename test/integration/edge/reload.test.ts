/** A certificate that is renewed under load: nobody loses a request, what is broken is told once, and the former one stays. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect } from "node:tls";
import { WebSocket } from "ws";
import { keepCertificate } from "../../../coordinator/api/edge/certificate.ts";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { createLogger, type Logger, silentLogger } from "../../../shared/log/log.ts";
import { until } from "../../support/agent-peer.ts";
import { Authority, type CertificateFiles } from "../../support/certificates.ts";
import { RunningCli } from "../../support/cli.ts";
import { startTestCoordinator, TEST_SIGNING_KEY } from "../../support/coordinator.ts";
import { freshDatabase } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");

/** Files that are copied over, as a renewal does. */
function shownFiles(authority: Authority): CertificateFiles & { show(files: CertificateFiles): void } {
  const [cert, key] = [join(authority.directory, "shown.crt"), join(authority.directory, "shown.key")];
  const show = (files: CertificateFiles): void => {
    copyFileSync(files.cert, cert);
    copyFileSync(files.key, key);
  };
  return { cert, key, show };
}

function serialOf(pem: string | Buffer): Promise<string> {
  return import("node:crypto").then(({ X509Certificate }) => new X509Certificate(pem).serialNumber);
}

/** Serial number of what a new connection is shown. */
async function shownAt(url: string, ca: string): Promise<string> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port), ca });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

interface Load {
  result: { done: number; failed: unknown[] };
  stop(): Promise<void>;
}

/** Asks without a pause until it is stopped; what failed, and how many did not. */
function load(url: string, ca: string, keepAlive: boolean): Load {
  let over = false;
  const agent = new Agent({ ca, keepAlive, maxCachedSessions: 0 });
  const result = { done: 0, failed: [] as unknown[] };
  const ask = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const asked = request(`${url}/api/v1/health`, { agent }, (response) => {
        response.resume();
        response.once("end", () => (response.statusCode === 200 ? resolve() : reject(new Error("not 200"))));
      });
      asked.once("error", reject);
      asked.end();
    });
  const run = async (): Promise<void> => {
    while (!over)
      await ask().then(
        () => void result.done++,
        (error: unknown) => void result.failed.push(error),
      );
  };
  const running = Promise.all([run(), run()]);
  return {
    result,
    async stop() {
      over = true;
      await running;
      agent.destroy();
    },
  };
}

test("renewals under load lose no request and no socket", { skip }, async (t) => {
  const authority = new Authority(t);
  const shown = shownFiles(authority);
  const pairs = [authority.server(), authority.server(), authority.server()];
  shown.show(pairs[0] as CertificateFiles);
  const at = await startTestCoordinator(t, { edge: { tlsCert: shown.cert, tlsKey: shown.key } });
  const socket = new WebSocket(
    `${at.url.replace("https", "wss")}/api/v1/events`,
    [EVENTS_SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + at.token],
    { ca: authority.pem },
  );
  await once(socket, "open");
  socket.send(JSON.stringify({ type: "subscribe" }));
  const [data] = await once(socket, "message");
  assert.equal(JSON.parse(String(data)).type, "subscribed");
  const loads = [load(at.url, authority.pem, true), load(at.url, authority.pem, false)];
  for (let round = 1; round < 6 || loads.some(({ result }) => result.done < 100); round++) {
    const pair = pairs[round % pairs.length] as CertificateFiles;
    shown.show(pair);
    assert.equal(await at.coordinator.reload(), true);
    assert.equal(await shownAt(at.url, authority.pem), await serialOf(readFileSync(pair.cert)));
  }
  for (const each of loads) {
    await each.stop();
    assert.deepEqual(each.result.failed, []);
    t.diagnostic(`${each.result.done} requests, none lost`);
  }
  const answered = once(socket, "pong");
  socket.ping();
  await answered;
  socket.terminate();
});

interface Kept {
  authority: Authority;
  shown: ReturnType<typeof shownFiles>;
  pair: CertificateFiles;
  lines: string[];
  log: Logger;
}

function kept(t: TestContext): Kept {
  const authority = new Authority(t);
  const shown = shownFiles(authority);
  const pair = authority.server();
  shown.show(pair);
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
  return { authority, shown, pair, lines, log };
}

test("what cannot be used is told once, and the former pair stays", { skip }, async (t) => {
  const { authority, shown, pair, lines, log } = kept(t);
  const keeper = await keepCertificate({ certificate: shown.cert, key: shown.key }, { log, lookMs: 3_600_000 });
  t.after(() => keeper.close());
  const other = authority.server();
  const expired = authority.expired();
  let told = 0;
  keeper.onChange(() => told++);
  const refusals: [() => void, RegExp][] = [
    [() => copyFileSync(other.cert, shown.cert), /does not belong to the certificate/],
    [() => writeFileSync(shown.cert, "nonsense"), /holds no certificate in PEM/],
    [() => copyFileSync(expired.cert, shown.cert), /does not belong to the certificate/],
    [() => shown.show(expired), /expired on [A-Z][a-z]{2} /],
  ];
  for (const [change, reason] of refusals) {
    change();
    const before = lines.length;
    assert.equal(await keeper.reload(), false);
    assert.equal(await keeper.reload(), false);
    assert.equal(lines.length, before + 1);
    assert.match(lines.at(-1) ?? "", reason);
  }
  assert.equal(told, 0);
  assert.equal(keeper.pair.cert, readFileSync(pair.cert, "utf8"));
  shown.show(pair);
  assert.equal(await keeper.reload(), false);
  shown.show(other);
  assert.equal(await keeper.reload(), true);
  assert.deepEqual([told, keeper.own.length], [1, 2]);
  assert.match(lines.at(-2) ?? "", /a new certificate is used from now on/);
  // They hold two days.
  assert.match(lines.at(-1) ?? "", /expires soon/);
});

test("changed files are noticed by themselves", { skip }, async (t) => {
  const { authority, shown } = kept(t);
  const keeper = await keepCertificate({ certificate: shown.cert, key: shown.key }, { log: silentLogger, lookMs: 20 });
  t.after(() => keeper.close());
  const next = authority.server();
  shown.show(next);
  await until(() => keeper.pair.key === readFileSync(next.key, "utf8"), "the new pair");
});

test("files that cannot be used at the start are refused with a sentence", { skip }, async (t) => {
  const { authority, shown, pair, log } = kept(t);
  const other = authority.server();
  const cases: [Partial<Parameters<typeof keepCertificate>[0]>, RegExp][] = [
    [{ certificate: "/nonexistent" }, /--tls-cert \(AIRAVATA_TLS_CERT\) names \/nonexistent, which cannot be read/],
    [{ key: other.key }, /does not belong to the certificate/],
    [{ key: pair.cert }, /holds no private key in PEM/],
    [{ certificate: pair.key }, /holds no certificate in PEM/],
    [{ agentCa: pair.key }, /holds no certificate in PEM/],
    [{ agentCa: "/nonexistent" }, /AIRAVATA_AGENT_CA_FILE/],
  ];
  for (const [files, message] of cases) {
    const started = keepCertificate({ certificate: shown.cert, key: shown.key, ...files }, { log });
    await assert.rejects(started, { code: "setting_invalid", message });
  }
});

test("SIGHUP makes the program look at once; up refuses certificates", { skip }, async (t) => {
  const { authority, shown } = kept(t);
  const { url: databaseUrl } = await freshDatabase(t);
  const env = {
    DATABASE_URL: databaseUrl,
    AIRAVATA_DATA_DIR: join(authority.directory, "data"),
    AIRAVATA_TLS_CERT: shown.cert,
    AIRAVATA_TLS_KEY: shown.key,
    JWT_SECRET_KEY: TEST_SIGNING_KEY,
  };
  const server = new RunningCli(["server", "--port", "0", "--log-format", "text"], { env });
  t.after(() => server.kill());
  await server.said(/^https:\/\/127\.0\.0\.1:\d+$/m);
  const url = /^https:\S+$/m.exec(server.stdout)?.[0] ?? "";
  const next = authority.server();
  shown.show(next);
  server.child.kill("SIGHUP");
  await server.said(/a new certificate is used from now on/);
  assert.equal(await shownAt(url, authority.pem), await serialOf(readFileSync(next.cert)));
  server.child.kill("SIGTERM");
  assert.equal((await server.end()).code, 0);

  const up = await new RunningCli(["up", "--port", "0"], { env }).end();
  assert.equal(up.code, 3);
  assert.match(up.stderr, /up speaks plain HTTP on this machine/);
});
