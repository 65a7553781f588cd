/** A way to a server that can die without a word: what is open stays open and silent, what is opened then works. */
import { connect, createServer, type Socket } from "node:net";

export interface Relay {
  /** HOST:PORT */
  endpoint: string;
  /** From now on nothing passes on the connections that are open. */
  deafen(): void;
  close(): void;
}

export async function startRelay(endpoint: string): Promise<Relay> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(endpoint.split(":").at(-1)), "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    endpoint: `127.0.0.1:${port}`,
    deafen: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
