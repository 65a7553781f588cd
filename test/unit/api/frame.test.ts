/** Frames that are written in one piece are the frames that the other end reads, whole and in order, at every boundary. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { writeFrame } from "../../../coordinator/api/socket/frame.ts";

const SIZES = [0, 1, 125, 126, 127, 255, 256, 4_095, 4_096, 4_097, 65_535, 65_536, 300_000];

test("what is written in one piece arrives as it was, among frames that go the other way", async (t) => {
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const told: Promise<void>[] = [];
  server.on("upgrade", (request, stream, head) => {
    sockets.handleUpgrade(request, stream, head, (socket) => {
      // Twice, so that small ones follow large ones, too.
      for (const size of [...SIZES, ...SIZES])
        told.push(new Promise((resolve) => writeFrame(socket, stream, Buffer.alloc(size, size % 251), resolve)));
      socket.close(1000, "done");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    perMessageDeflate: false,
  });
  const got: Buffer[] = [];
  client.on("message", (data, isBinary) => {
    assert.equal(isBinary, true);
    got.push(data as Buffer);
  });
  const [code] = await new Promise<[number]>((resolve, reject) => {
    client.once("close", (...end) => resolve([end[0]]));
    client.once("error", reject);
  });
  assert.equal(code, 1000);
  assert.deepEqual(
    got.map((data) => data.length),
    [...SIZES, ...SIZES],
  );
  for (const data of got) assert.ok(data.equals(Buffer.alloc(data.length, data.length % 251)));
  await Promise.all(told);
});
