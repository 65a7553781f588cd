/**
 * A plain load balancer for TCP: each connection goes to the next coordinator in turn, and to the one after where nobody
 * listens. It knows nothing of what is said, and of who is well only what it is told.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

export class Balancer {
  url = "";
  readonly #ports: number[];
  readonly #leftOut = new Set<number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #turn = 0;

  private constructor(targets: string[]) {
    this.#ports = targets.map(portOf);
    this.#server = createServer((client) => void this.#serve(client));
  }

  /** In front of coordinators at these URLs. */
  static async listen(targets: string[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    balancer.#server.listen(0, "127.0.0.1");
    await once(balancer.#server, "listening");
    balancer.url = `http://127.0.0.1:${(balancer.#server.address() as { port: number }).port}`;
    return balancer;
  }

  /** No new connection goes there: what a balancer does that asks for health and gets no answer. */
  leaveOut(target: string): void {
    this.#leftOut.add(portOf(target));
  }

  takeBack(target: string): void {
    this.#leftOut.delete(portOf(target));
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(client: Socket): Promise<void> {
    this.#keep(client);
    for (let tries = 0; tries < this.#ports.length; tries++) {
      const port = this.#ports[this.#turn++ % this.#ports.length] as number;
      if (this.#leftOut.has(port)) continue;
      const upstream = connect(port, "127.0.0.1");
      this.#keep(upstream);
      const reached = await once(upstream, "connect").then(
        () => true,
        () => false,
      );
      if (!reached) continue;
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
      if (client.destroyed) upstream.destroy();
      client.pipe(upstream).pipe(client);
      return;
    }
    client.destroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
  }
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}
