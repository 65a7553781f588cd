/** What a load balancer is to coordinators: one address that leads to whoever a test says. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class Forwarder {
  url = "";
  #target: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string) {
    this.#target = portOf(target);
    this.#server = createServer((client) => {
      const upstream = connect(this.#target, "127.0.0.1");
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.pipe(upstream).pipe(client);
    });
  }

  /** Forwards to the coordinator at the URL `target`, from a port of its own or the one that is given. */
  static async listen(target: string, port = 0): Promise<Forwarder> {
    const forwarder = new Forwarder(target);
    await new Promise<void>((resolve) => forwarder.#server.listen(port, "127.0.0.1", resolve));
    const address = forwarder.#server.address() as { port: number };
    forwarder.url = `http://127.0.0.1:${address.port}`;
    return forwarder;
  }

  /** New connections lead there; the open ones stay with whom they have. */
  turn(target: string): void {
    this.#target = portOf(target);
  }

  /** Nothing passes on the connections that are open, and nobody is told; what is opened from now on works. */
  deafen(): void {
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
