/** Two sockets become one: what one says the other hears, at its own pace, until either ends. */
import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { answerHeaders, switchingHeaders } from "./headers.ts";

/** What was said last may still be on its way when the other side has gone. */
const LAST_WORDS_MS = 1_000;

interface End {
  socket: Duplex;
  /** Came with the head and belongs to what follows. */
  head: Buffer;
}

/** Answers the client with the dispatcher's 101 and joins both. `ended` is called once; the returned function ends it now. */
export function splice(client: End, dispatcher: End & { response: IncomingMessage }, ended: () => void): () => void {
  const [near, far] = [client.socket, dispatcher.socket];
  (near as Socket).setNoDelay(true);
  near.write(headOf(dispatcher.response, switchingHeaders(dispatcher.response)));
  if (dispatcher.head.length > 0) near.write(dispatcher.head);
  if (client.head.length > 0) far.write(client.head);
  let open = 2;
  for (const [socket, other] of [
    [near, far],
    [far, near],
  ] as const) {
    // What failed closes; the close is what counts.
    socket.on("error", () => {});
    socket.once("close", () => {
      if (--open === 0) return ended();
      other.end();
      leave(other);
    });
    socket.pipe(other);
  }
  return () => {
    near.destroy();
    far.destroy();
  };
}

/** Hands an answer that is no upgrade on to a client whose socket no HTTP server serves any more. */
export function relayRefusal(response: IncomingMessage, client: Duplex): void {
  client.on("error", () => response.destroy());
  client.write(headOf(response, [...answerHeaders(response), "Connection", "close"]));
  response.on("error", () => client.destroy());
  // Its length stands in the head, or the end of the connection is the end of the body.
  response.pipe(client);
  response.once("close", () => leave(client));
}

/** Whoever was told the last does not keep his half of the connection: no server looks after it. */
export function leave(socket: Duplex): void {
  setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
}

function headOf({ statusCode = 502, statusMessage }: IncomingMessage, headers: string[]): string {
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage || (STATUS_CODES[statusCode] ?? "")}`];
  for (let i = 0; i + 1 < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}
