/** A proxy in front of a test database that can lose answers: for a COMMIT that happened and was never heard of. */
import { createServer, connect as netConnect, type Socket } from "node:net";

export interface Proxy {
  /** The database's address through the proxy. */
  url: string;
  /** From now on nothing that PostgreSQL says is passed on. Resolves at its next answer. */
  swallow(): Promise<void>;
  close(): Promise<void>;
}

/** `url` is that of a test database, behind a Unix socket. */
export async function startProxy(url: string): Promise<Proxy> {
  const target = new URL(url);
  const path = `${target.searchParams.get("host")}/.s.PGSQL.${target.port}`;
  const sockets = new Set<Socket>();
  let onSwallowed: (() => void) | null = null;
  const server = createServer((client) => {
    const upstream = netConnect(path);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (part) => upstream.write(part));
    upstream.on("data", (part) => {
      if (onSwallowed) onSwallowed();
      else client.write(part);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  target.searchParams.delete("host");
  target.port = String(port);
  return {
    url: target.toString(),
    swallow: () =>
      new Promise((resolve) => {
        onSwallowed = resolve;
      }),
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
