/**
 * Stands where the dispatcher's internal address leads: keeps the head of every request that is forwarded, and then passes
 * it on, or does with it what a test says.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";

export interface Recorded {
  method: string;
  url: string;
  headers: IncomingMessage["headers"];
}

export class Recorder {
  readonly requests: Recorded[] = [];
  address = "";
  /** Where requests go; set once the coordinator listens. */
  target = "";
  /** In place of passing it on. */
  handle: ((incoming: IncomingMessage, answer: ServerResponse) => void) | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((incoming, answer) => {
      const { method = "", url = "", headers } = incoming;
      this.requests.push({ method, url, headers });
      if (this.handle) this.handle(incoming, answer);
      else this.#pass(incoming, answer);
    });
    this.#server.on("upgrade", (incoming, socket, head) => {
      const { method = "", url = "", headers, rawHeaders } = incoming;
      this.requests.push({ method, url, headers });
      const upstream = connect(Number(new URL(this.target).port), "127.0.0.1");
      const lines = rawHeaders.flatMap((name, i) => (i % 2 === 0 ? `${name}: ${rawHeaders[i + 1]}` : []));
      upstream.write(`${method} ${url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      upstream.write(head);
      for (const [one, other] of [
        [socket, upstream],
        [upstream, socket],
      ] as const) {
        one.on("error", () => {});
        one.on("close", () => other.destroy());
        one.pipe(other);
      }
    });
  }

  static async listen(): Promise<Recorder> {
    const recorder = new Recorder();
    recorder.#server.listen(0, "127.0.0.1");
    await once(recorder.#server, "listening");
    recorder.address = `127.0.0.1:${(recorder.#server.address() as { port: number }).port}`;
    return recorder;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #pass(incoming: IncomingMessage, answer: ServerResponse): void {
    const { method, url = "", headers } = incoming;
    const upstream = request(new URL(url, this.target), { method, headers, setHost: false });
    upstream.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    upstream.on("error", () => answer.destroy());
    incoming.pipe(upstream);
  }
}
