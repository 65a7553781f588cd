/** An agent that can get out only through an HTTP proxy: enrolment and session go through it by CONNECT, or say why not. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterEach, beforeEach, test } from "node:test";
import { SessionSocket } from "../../../agent/session/socket.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { template } from "../../support/agent-templates.ts";

let coordinator: FakeCoordinator;
let directory: string;
let proxy: Server;
let tunnels: { target: string; authorization: string | undefined }[];
let refusing: boolean;
const sockets = new Set<Socket>();

beforeEach(async () => {
  coordinator = new FakeCoordinator();
  await coordinator.start();
  directory = await agentDirectory();
  tunnels = [];
  refusing = false;
  proxy = createServer((_, response) => response.writeHead(405).end());
  proxy.on("connect", (request, socket: Socket, head) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (refusing) {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    tunnels.push({ target: request.url ?? "", authorization: request.headers["proxy-authorization"] });
    const [host = "", port] = (request.url ?? "").split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    sockets.add(onward);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  proxy.close();
  await coordinator.stop();
  await removeAgentDirectory(directory);
});

const address = (): string => `127.0.0.1:${(proxy.address() as AddressInfo).port}`;

test("enrolment and session go through the proxy, with its credentials", async () => {
  const env = { HTTP_PROXY: `http://user:p%40ss@${address()}` };
  const agent = await startAgent(coordinator.url, directory, { env });
  try {
    await coordinator.message("free");
    coordinator.lease(1, template(), [0]);
    await coordinator.until("an end", () => coordinator.ends.length === 1);
  } finally {
    await agent.stop();
  }
  const authorization = `Basic ${Buffer.from("user:p@ss").toString("base64")}`;
  const target = new URL(coordinator.url).host;
  assert.deepEqual(tunnels, [
    { target, authorization },
    { target, authorization },
  ]);
});

test("a proxy that refuses, and one that is not there, are named", async () => {
  const closed = (env: Record<string, string>): Promise<string> =>
    new Promise((resolve) => {
      new SessionSocket({
        apiUrl: coordinator.url,
        env,
        program: "0",
        timeoutMs: 5_000,
        opened: () => resolve("opened"),
        message: () => {},
        closed: resolve,
        drained: () => {},
      });
    });
  refusing = true;
  const target = new URL(coordinator.url).host;
  assert.equal(
    await closed({ HTTP_PROXY: `http://${address()}` }),
    `the proxy ${address()} does not let us through to ${target}: it answered 403`,
  );
  const dead = address();
  proxy.close();
  for (const socket of sockets) socket.destroy();
  await once(proxy, "close");
  assert.match(await closed({ HTTP_PROXY: `http://${dead}` }), new RegExp(`^the proxy ${dead} cannot be reached`));
});
