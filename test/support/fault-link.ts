/**
 * A network link that a test breaks: a forwarder on loopback, before a TCP port or a Unix socket. Broken in each of the
 * ways in which networks break: refused at once, silent for ever, silent for a while, slow.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/**
 * - `open`: forwards.
 * - `cut`: what is open is closed, what comes is refused.
 * - `half_open`: bytes of either side are taken and lost, and nobody is told: a dead peer behind a firewall that drops.
 *   Once the link is open again such a connection is closed, as a reset does at the next byte.
 * - `deaf`: what is said to the target arrives, its answers are lost: for a COMMIT that happened and was never heard of.
 * - `frozen`: nothing is taken and nothing lost: a short outage that TCP lives through; goes on where it stood.
 * - `slow`: each piece waits, and a second carries few bytes.
 */
export type LinkState = "open" | "cut" | "half_open" | "deaf" | "frozen" | "slow";

const SLOW_DELAY_MS = 300;
/** A megabyte, the size of a large frame, takes half a minute. */
const SLOW_BYTES_PER_MS = 32;

interface Pair {
  ends: [Socket, Socket];
  /** Something was lost on the way. */
  holed: boolean;
}

export class FaultLink {
  port = 0;
  #state: LinkState = "open";
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #target: { port: number; host: string } | { path: string };
  #thaw: (() => void)[] = [];

  private constructor(target: number | string) {
    this.#target = typeof target === "number" ? { port: target, host: "127.0.0.1" } : { path: target };
    this.#server = createServer((client) => this.#serve(client));
  }

  /** Leads to a port of this machine, or to the Unix socket at a path. */
  static async listen(target: number | string): Promise<FaultLink> {
    const link = new FaultLink(target);
    await new Promise<void>((resolve) => link.#server.listen(0, "127.0.0.1", resolve));
    link.port = (link.#server.address() as { port: number }).port;
    return link;
  }

  /** In front of a test database behind a Unix socket; `url` is the database's address through it. */
  static async toDatabase(address: string): Promise<{ link: FaultLink; url: string }> {
    const url = new URL(address);
    const link = await FaultLink.listen(`${url.searchParams.get("host")}/.s.PGSQL.${url.port}`);
    url.searchParams.delete("host");
    url.port = String(link.port);
    return { link, url: url.toString() };
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get state(): LinkState {
    return this.#state;
  }

  set(state: LinkState): void {
    this.#state = state;
    if (state === "cut") for (const pair of this.#pairs) destroy(pair);
    if (state === "open") for (const pair of this.#pairs) if (pair.holed) destroy(pair);
    if (state !== "frozen") for (const thaw of this.#thaw.splice(0)) thaw();
  }

  async close(): Promise<void> {
    this.set("cut");
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(client: Socket): void {
    if (this.#state === "cut") {
      client.on("error", () => {});
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.#target);
    const pair: Pair = { ends: [client, upstream], holed: false };
    this.#pairs.add(pair);
    for (const socket of pair.ends) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        // The other side of a dead link hears nothing of it.
        if (this.#state === "half_open") pair.holed = true;
        if (pair.holed && this.#state === "half_open") return;
        this.#pairs.delete(pair);
        destroy(pair);
      });
    }
    void this.#carry(client, upstream, pair, "half_open");
    void this.#carry(upstream, client, pair, "deaf");
  }

  /** Loses what it reads while the link is in the state `lossy`, and always while it is half-open. */
  async #carry(from: Socket, to: Socket, pair: Pair, lossy: LinkState): Promise<void> {
    from.on("end", () => this.#state !== "half_open" && to.end());
    try {
      for await (const piece of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        while (this.#state === "frozen") await new Promise<void>((resolve) => this.#thaw.push(resolve));
        if (this.#state === "slow") await delay(SLOW_DELAY_MS + piece.length / SLOW_BYTES_PER_MS);
        if (this.#state === "half_open" || this.#state === lossy) pair.holed = true;
        else if (!pair.holed && !to.destroyed && !to.write(piece)) await drained(to);
      }
    } catch {
      // It was closed; its other end is by the handler above.
    }
  }
}

function destroy({ ends }: Pair): void {
  for (const socket of ends) socket.destroy();
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}
