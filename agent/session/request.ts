/**
 * One request of the agent outside of its session: JSON there and back, through the same proxy and with the same trust
 * as the session. The client of the command line would bring fetch and all schemas along.
 */
import type { IncomingMessage } from "node:http";
import { CATALOGUE, type ErrorCode } from "../../shared/error/catalogue.ts";
import { AiravataError } from "../../shared/error/error.ts";
import { tlsSentence } from "../../shared/error/tls.ts";
import { dial, type Way } from "./proxy.ts";

/** For connecting, and for the answer. */
const TIMEOUT_MS = 30_000;
/** No answer that an agent asks for is larger. */
const ANSWER_BYTES_MAX = 64 * 1024;

/**
 * Posts to a path of the coordinator and gives its JSON. Throws `server_unreachable`, `certificate_not_trusted`, or what
 * the coordinator refused with; `what` is how the sentence about that begins: "… does not enrol this agent".
 */
export async function postJson(apiUrl: string, path: string, body: unknown, what: string, way: Way): Promise<unknown> {
  const url = new URL(`${apiUrl.replace(/\/+$/, "")}${path}`);
  let answer: { status: number; text: string };
  try {
    answer = await exchange(url, JSON.stringify(body), way);
  } catch (cause) {
    if (cause instanceof AiravataError) throw cause;
    const why = tlsSentence(cause);
    if (why !== undefined) throw new AiravataError("certificate_not_trusted", `${apiUrl}: ${why}`, { cause });
    throw new AiravataError("server_unreachable", `the server at ${apiUrl} does not answer`, { cause });
  }
  const json = parse(answer.text);
  if (answer.status >= 200 && answer.status < 300 && json !== undefined) return json;
  const { code, detail } = (json ?? {}) as { code?: unknown; detail?: unknown };
  if (typeof code === "string" && Object.hasOwn(CATALOGUE, code) && typeof detail === "string") {
    throw new AiravataError(code as ErrorCode, `${apiUrl} ${what}: ${detail}`);
  }
  throw new AiravataError(
    "server_unreachable",
    `${apiUrl} answered ${answer.status} but not as the coordinator does; is the address right, or a proxy in between?`,
  );
}

async function exchange(url: URL, body: string, way: Way): Promise<{ status: number; text: string }> {
  // Imported by name it brings the whole of fetch along, which an agent needs at most once.
  const { request } = await import("node:http");
  const socket = await dial(url, way, TIMEOUT_MS);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({
      createConnection: () => socket,
      method: "POST",
      path: url.pathname,
      timeout: TIMEOUT_MS,
      headers: {
        host: url.host,
        connection: "close",
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
      },
    });
    asked.once("timeout", () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    asked.once("error", reject);
    asked.once("response", resolve);
    asked.end(body);
  });
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > ANSWER_BYTES_MAX) break;
  }
  return { status: response.statusCode ?? 0, text };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
