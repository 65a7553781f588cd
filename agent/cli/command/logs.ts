/**
 * `airavata task logs`: the bytes that an attempt wrote. A pipe gets them exactly; a terminal gets them without control
 * characters. Following goes on at the same byte of the same attempt after a lost connection.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ApiError, type Client } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { Exit } from "../../../shared/error/exit.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { taskId } from "../name.ts";
import { PrintableStream } from "../terminal.ts";

const RECONNECT_CAP_MS = 4_000;
/** Without `--follow` a lost server is an error soon. */
const RETRIES_MAX = 3;

interface LogPosition {
  task: string;
  stream: "stdout" | "stderr";
  attempt: number | undefined;
  offset: number;
}

export async function logsCommand(invocation: Invocation): Promise<number> {
  const { client } = await invocation.connect();
  const { follow, stderr, attempt } = invocation.options;
  const position: LogPosition = {
    task: taskId(invocation.args[0]),
    stream: stderr ? "stderr" : "stdout",
    attempt: attempt as number | undefined,
    offset: 0,
  };
  const sink = logSink(invocation, position);
  let failures = 0;
  for (;;) {
    try {
      await copyLog(client, position, follow === true, (chunk) => {
        failures = 0;
        sink.write(chunk);
      });
      sink.end();
      return Exit.DONE;
    } catch (error) {
      const passing = error instanceof AiravataError || error instanceof ApiError ? isPassing(error) : true;
      failures += 1;
      if (!passing || (!follow && failures > RETRIES_MAX)) throw asUnreachable(error, client.server);
      await delay(Math.random() * Math.min(RECONNECT_CAP_MS, 250 * 2 ** failures));
    }
  }
}

/** One answer from where the position stands; moves the position with each chunk. */
async function copyLog(
  client: Client,
  position: LogPosition,
  follow: boolean,
  write: (chunk: Uint8Array) => void,
): Promise<void> {
  const response = await client.open("readLog", {
    params: { task: position.task },
    query: {
      stream: position.stream,
      attempt: position.attempt,
      offset: position.offset,
      follow: follow ? "true" : "false",
    },
  });
  // A later attempt must not be spliced onto this one when the connection is made anew.
  position.attempt ??= Number(response.headers.get("airavata-attempt")) || undefined;
  if (response.body === null) return;
  for await (const chunk of response.body) {
    position.offset += chunk.length;
    write(chunk);
  }
}

function logSink(invocation: Invocation, position: LogPosition): { write(chunk: Uint8Array): void; end(): void } {
  const decoder = new TextDecoder();
  if (invocation.json) {
    let offset = 0;
    return {
      write: (chunk) => {
        const { task, stream, attempt } = position;
        printJson(invocation, { task, stream, attempt, offset, text: decoder.decode(chunk, { stream: true }) });
        offset += chunk.length;
      },
      end: () => {},
    };
  }
  if (!invocation.out.isTerminal) return { write: (chunk) => void process.stdout.write(chunk), end: () => {} };
  const clean = new PrintableStream();
  let last = "\n";
  const show = (text: string): void => {
    if (text !== "") last = text;
    invocation.out.write(text);
  };
  return {
    write: (chunk) => show(clean.push(decoder.decode(chunk, { stream: true }))),
    end: () => {
      show(clean.end());
      if (!last.endsWith("\n")) invocation.out.write("\n");
    },
  };
}

function isPassing(error: AiravataError | ApiError): boolean {
  return error.status === 429 || error.status >= 500;
}

/** A body that broke off is thrown by fetch without a code of ours. */
function asUnreachable(error: unknown, server: string): unknown {
  if (error instanceof AiravataError || error instanceof ApiError) return error;
  return new AiravataError("server_unreachable", `the answer of ${server} broke off`, { cause: error });
}
