/** Clients that hold a connection without using it, over real sockets and with short limits. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import { boundCrowd } from "../../../coordinator/api/edge/crowd.ts";
import { createEdge } from "../../../coordinator/api/edge/edge.ts";
import { boundAnswers, boundHandshakes, type Patience } from "../../../coordinator/api/edge/slow.ts";
import type { Statement } from "../../../coordinator/domain/forward/statement.ts";
import { BEARER_SUBPROTOCOL_PREFIX, EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { until } from "../../support/agent-peer.ts";
import { Authority } from "../../support/certificates.ts";
import { startTestCoordinator, type TestCoordinator } from "../../support/coordinator.ts";
import { needs } from "../../support/services.ts";

const skip = needs("openssl");
const SHORT: Patience = { handshakeMs: 800, headersMs: 800, requestMs: 1_500, answerMs: 400, lookMs: 50 };

/** A connection with these first words, and all that comes back until it is closed. */
function say(port: number, words: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (data) => {
    text += String(data);
  });
  socket.on("error", () => {});
  socket.write(words);
  // Not `once`: writing to what was just closed is an error, and no surprise here.
  const answer = new Promise<string>((resolve) => socket.on("close", () => resolve(text)));
  return { socket, answer };
}

function portOf({ url }: { url: string }): number {
  return Number(new URL(url).port);
}

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test("silence, slow heads and slow bodies end in 408 or an end; who is in time is served", async (t) => {
  const at: TestCoordinator = await startTestCoordinator(t, { patience: SHORT });
  const port = portOf(at);
  const head = `POST /api/v1/experiments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${at.token}\r\n`;
  const body = `${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"spec": "`;
  const silent = say(port, "");
  const slowHead = say(port, head);
  const slowBody = say(port, body);
  // A byte now and then does not help.
  const drip = setInterval(() => {
    if (slowHead.socket.writable) slowHead.socket.write("X");
    if (slowBody.socket.writable) slowBody.socket.write("x");
  }, 20);
  t.after(() => clearInterval(drip));
  await silent.answer;
  assert.match(await slowHead.answer, /^(HTTP\/1.1 408 |$)/);
  assert.match(await slowBody.answer, /^(HTTP\/1.1 408 |$)/);
  assert.equal((await at.client.call("health", {})).status, "ok");
});

test("a socket of events that says nothing stays, here and through a replica", async (t) => {
  const leader = await startTestCoordinator(t, { patience: SHORT });
  const replica = await startTestCoordinator(t, { beside: leader, leading: false, patience: SHORT });
  const protocols = [EVENTS_SUBPROTOCOL, BEARER_SUBPROTOCOL_PREFIX + leader.token];
  const open = async ({ url }: TestCoordinator): Promise<WebSocket> => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/events`, protocols);
    await once(socket, "open");
    socket.send(JSON.stringify({ type: "subscribe" }));
    await once(socket, "message");
    return socket;
  };
  const sockets = [await open(leader), await open(replica)];
  // Others are cut off twice in the meantime.
  for (let i = 0; i < 2; i++) await say(portOf(leader), "GET / HTTP/1.1\r\n").answer;
  for (const socket of sockets) {
    const answered = once(socket, "pong");
    socket.ping();
    await answered;
    socket.terminate();
  }
});

test("a peer that vanishes without a word is asked for by the kernel", { skip }, async (t) => {
  const { cert, key } = new Authority(t).server();
  for (const edge of [{}, { tlsCert: cert, tlsKey: key }]) {
    const at = await startTestCoordinator(t, { edge });
    const port = portOf(at);
    const { socket } = say(port, "");
    await once(socket, "connect");
    // Of an established connection (01) the timer of keep-alive (02) runs; our own end has none (00).
    const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
    const timers = await until(() => {
      const lines = readFileSync("/proc/net/tcp", "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/));
      const ours = lines.filter(([, address, , state]) => address?.endsWith(local) && state === "01");
      return ours.length > 0 && ours.map(([, , , , , timer]) => timer?.slice(0, 2));
    }, "the connection in the kernel's table");
    assert.deepEqual(timers, ["02"]);
    socket.destroy();
  }
});

/** Serves answers without an end, and one that is long thought about. */
function endless(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === "/thinking") {
    setTimeout(() => response.end("done"), 3 * SHORT.answerMs);
    return;
  }
  const chunk = Buffer.alloc(64 * 1024, "x");
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
    response.once("drain", more);
  };
  more();
}

for (const kind of ["plain", "TLS"] as const) {
  const withTls = kind === "TLS";
  test(`an answer that nobody takes is cut off; one taken slowly, or thought about, is not (${kind})`, {
    skip,
  }, async (t) => {
    const files = withTls ? new Authority(t).server() : undefined;
    const server = files
      ? createTlsServer({ cert: readFileSync(files.cert), key: readFileSync(files.key) }, endless)
      : createServer(endless);
    boundAnswers(server, SHORT);
    const port = await listen(t, server);
    const dial = (path: string): Socket => {
      const target = { port, host: "127.0.0.1" };
      const socket = withTls ? connectTls({ ...target, rejectUnauthorized: false }) : connect(target);
      t.after(() => socket.destroy());
      socket.on("error", () => {});
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      return socket;
    };
    const ended = new Promise<void>((resolve) => {
      server.on("request", (request, response) => {
        if (request.url === "/stalled") response.once("close", resolve);
      });
    });
    dial("/stalled").pause();
    const slow = dial("/slow");
    slow.on("data", () => {
      slow.pause();
      setTimeout(() => slow.resume(), SHORT.answerMs / 10);
    });
    let thought = "";
    const thinking = dial("/thinking").on("data", (data) => {
      thought += String(data);
    });
    await Promise.all([ended, once(thinking, "close")]);
    assert.match(thought, /done/);
    await once(slow, "data");
    assert.equal(slow.destroyed, false);
  });
}

test("half-open handshakes end by themselves, and leave room for others", { skip }, async (t) => {
  const authority = new Authority(t);
  const { cert, key } = authority.server();
  const at = await startTestCoordinator(t, { edge: { tlsCert: cert, tlsKey: key }, patience: SHORT });
  const port = portOf(at);
  const silent = Array.from({ length: 50 }, () => say(port, ""));
  const half = Array.from({ length: 50 }, () => say(port, "\x16\x03\x01\x02\x00\x01"));
  const nonsense = say(port, "GET / HTTP/1.1\r\n\r\n");
  for (const { answer } of [...silent, ...half, nonsense]) await answer;
});

/** Whether a connection from an address is let in; its socket if so. */
function dialler(t: TestContext, server: Server, port: number): (from: string) => Promise<Socket | undefined> {
  return async (localAddress) => {
    const accepted = once(server, "connection") as Promise<[Socket]>;
    const near = connect({ port, host: "127.0.0.1", localAddress }).on("error", () => {});
    t.after(() => near.destroy());
    const [far] = await accepted;
    return far.destroyed ? undefined : far;
  };
}

test("who holds many handshakes open is turned away, and nobody else", async (t) => {
  const server = createServer();
  boundHandshakes(server, () => false, 4, 2);
  const port = await listen(t, server);
  const dial = dialler(t, server, port);
  const [first, second] = [await dial("127.0.0.1"), await dial("127.0.0.1")];
  assert.ok(first && second);
  assert.equal(await dial("127.0.0.1"), undefined);
  assert.ok(await dial("127.0.0.2"));
  assert.ok(await dial("127.0.0.3"));
  assert.equal(await dial("127.0.0.4"), undefined);
  // One that is over, well or not, makes room.
  first.destroy();
  await once(first, "close");
  assert.ok(await dial("127.0.0.4"));
  assert.equal(await dial("127.0.0.4"), undefined);
  server.emit("secureConnection", second);
  assert.ok(await dial("127.0.0.4"));
});

test("a network holds only so many connections; WebSockets and those who speak for many are not counted", async (t) => {
  const server = createServer();
  const told: unknown[] = [];
  const log = { ...silentLogger, warn: (_text: string, fields?: unknown) => void told.push(fields) };
  const isExempt = (address: string | undefined): boolean => address === "127.0.0.9";
  const crowd = boundCrowd(server, { max: 12, perNetwork: 2, isExempt, log, mono: () => 0 });
  const port = await listen(t, server);
  const dial = dialler(t, server, port);
  const [first, second] = [await dial("127.0.0.1"), await dial("127.0.0.1")];
  assert.ok(first && second);
  assert.equal(await dial("127.0.0.1"), undefined);
  assert.equal(await dial("127.0.0.1"), undefined);
  assert.deepEqual(told, [{ network: "127.0.0.1", closed: 1 }]);
  assert.ok(await dial("127.0.0.2"));
  for (let i = 0; i < 3; i++) assert.ok(await dial("127.0.0.9"));
  // One that is over makes room, and so does one that became a WebSocket, once.
  first.destroy();
  await once(first, "close");
  assert.ok(await dial("127.0.0.1"));
  crowd.release(second);
  crowd.release(second);
  assert.ok(await dial("127.0.0.1"));
  assert.equal(await dial("127.0.0.1"), undefined);
  assert.deepEqual([crowd.figures().connections_refused_total, crowd.isDense()], [3, true]);
});

/** Whether a server that was never opened takes one from such an address. */
function taker(server: Server): (remoteAddress: string) => boolean {
  let remotePort = 0;
  return (remoteAddress) => {
    const socket = Object.assign(new EventEmitter(), { remoteAddress, remotePort: ++remotePort, destroyed: false });
    server.emit("connection", Object.assign(socket, { destroy: () => (socket.destroyed = true) }));
    return !socket.destroyed;
  };
}

test("handshakes of a /64 are those of one, an eighth of all; a proxy's are not counted", () => {
  const server = new EventEmitter() as Server;
  boundHandshakes(server, (address) => address === "2001:db8:2:2::1", 16);
  const isTaken = taker(server);
  assert.deepEqual(
    [1, 2, 3].map((host) => isTaken(`2001:db8:1:1::${host}`)),
    [true, true, false],
  );
  assert.ok(isTaken("2001:db8:1:2::1"));
  for (let i = 0; i < 5; i++) assert.ok(isTaken("2001:db8:2:2::1"));
});

test("a customer's /48 of IPv6 has two networks' worth", () => {
  const server = new EventEmitter() as Server;
  boundCrowd(server, { max: 100, perNetwork: 2, isExempt: () => false, log: silentLogger });
  const isTaken = taker(server);
  assert.deepEqual(
    [1, 2, 3].map((host) => isTaken(`2001:db8:1:1::${host}`)),
    [true, true, false],
  );
  assert.deepEqual(
    [2, 3, 4].map((net) => isTaken(`2001:db8:1:${net}::1`)),
    [true, true, false],
  );
  assert.ok(isTaken("2001:db8:2:1::1"));
});

test("where more than half of all connections are in use, who is not admitted loses his", async (t) => {
  const at = await startTestCoordinator(t, { connectionsMax: 6 });
  const port = portOf(at);
  const ask = async (): Promise<Socket> => {
    const { socket } = say(port, "GET /api/v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nobody\r\n\r\n");
    t.after(() => socket.destroy());
    await once(socket, "data");
    return socket;
  };
  const first = await ask();
  first.write("GET /api/v1/agents HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(first, "data");
  for (let i = 0; i < 2; i++) await ask();
  const fourth = await ask();
  if (!fourth.closed) await once(fourth, "close");
  assert.equal(first.closed, false);
});

test("who keeps his half of a refused upgrade loses it", async (t) => {
  const at = await startTestCoordinator(t);
  const head = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  const socket = connect({ port: portOf(at), host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {}).resume();
  socket.write(`GET /nowhere HTTP/1.1\r\nHost: x\r\n${head}\r\n`);
  await once(socket, "end");
  // Writing to what is closed there ends it here.
  const knock = setInterval(() => socket.write("x"), 50);
  t.after(() => clearInterval(knock));
  await new Promise((resolve) => socket.on("close", resolve));
});

test("what became a WebSocket, what a coordinator sent, a proxy and this machine are not counted", async () => {
  const settings = { trustedProxies: ["198.51.100.0/24"] };
  const edge = await createEdge(settings, { log: silentLogger, connectionsMax: 20 });
  // Made-up sockets are not served.
  const server = createServer().removeAllListeners("connection");
  edge.guard(server);
  const isTaken = taker(server);
  const places = (address: string): boolean[] => [1, 2, 3].map(() => isTaken(address));
  assert.deepEqual(places("192.0.2.1"), [true, true, false]);
  assert.deepEqual(places("::ffff:198.51.100.7"), [true, true, true]);
  assert.deepEqual(places("127.0.0.1"), [true, true, true]);
  const ended = { remoteAddress: "192.0.2.1", remotePort: 1 } as Socket;
  edge.upgraded(ended);
  assert.deepEqual(places("192.0.2.1"), [true, false, false]);
  const request = { socket: { ...ended, remotePort: 2 }, headers: {} } as IncomingMessage;
  edge.arrived(request, undefined, { client: "192.0.2.9" } as Statement);
  assert.deepEqual(places("192.0.2.1"), [true, false, false]);
  edge.close();
});
