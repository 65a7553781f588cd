/**
 * Fetches a program from the agent's own server and checks it: size, checksum, and that it starts and names its version.
 * A broken connection is taken up where it broke; what is not what was asked for is removed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { AiravataError, errorLine } from "../../shared/error/error.ts";
import { dial, type TlsFiles } from "../session/proxy.ts";

export interface DownloadOptions {
  /** `http(s)://host:port` of the coordinator. */
  apiUrl: string;
  /** Of the URL, beginning with a slash. */
  path: string;
  env: Record<string, string | undefined>;
  tls?: TlsFiles | undefined;
  target: string;
  version: string;
  sizeBytes: number;
  sha256: string;
  signal: AbortSignal;
  progress(bytes: number): void;
}

/** Connecting, and any pause between two pieces. */
const SILENCE_MS = 30_000;
/** After try n: 1 s × 2^(n−1), at most 30 s: with eight tries a coordinator may be away for a minute and a half. */
const TRIES_MAX = 8;
const PAUSE_MS_MAX = 30_000;
/** The program only has to start and print a line; a busy machine may need a while to read 100 MB. */
const VERSION_MS = 30_000;

/** Resolves when the program lies at `target`, checked and executable. Throws `update_failed` with a sentence. */
export async function fetchProgram(options: DownloadOptions): Promise<void> {
  const { target, signal } = options;
  const partial = `${target}.part`;
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  if (!(await isWhole(target, options))) {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted();
      try {
        await fetchRest(partial, options);
        break;
      } catch (cause) {
        signal.throwIfAborted();
        if (cause instanceof AiravataError || tries === TRIES_MAX) throw refusal(options, errorLine(cause), cause);
        await delay(Math.min(PAUSE_MS_MAX, 1_000 * 2 ** (tries - 1)), undefined, { signal });
      }
    }
    if (!(await isWhole(partial, options))) {
      await rm(partial, { force: true });
      throw refusal(options, `its SHA-256 is not ${options.sha256}: what the server gives is not what was published`);
    }
    await chmod(partial, 0o700);
    await rename(partial, target);
  }
  const said = await versionOf(target);
  if (said === options.version) return;
  await rm(target, { force: true });
  throw refusal(options, `asked for its version it says ${JSON.stringify(said.slice(0, 200))}`);
}

function refusal({ version }: DownloadOptions, why: string, cause?: unknown): AiravataError {
  return new AiravataError("update_failed", `version ${version} was not taken: ${why}`, { cause });
}

/** Appends what is missing; throws when the connection breaks, `update_failed` when another try would be in vain. */
async function fetchRest(partial: string, options: DownloadOptions): Promise<void> {
  let have = await sizeOf(partial);
  if (have > options.sizeBytes) have = 0;
  if (have === options.sizeBytes) return;
  const response = await ask(options, have);
  const file = await open(partial, response.statusCode === 206 ? "a" : "w", 0o700);
  let at = response.statusCode === 206 ? have : 0;
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      at += piece.length;
      if (at > options.sizeBytes) throw refusal(options, `the server gives more than ${options.sizeBytes} bytes`);
      await file.write(piece);
      options.progress(at);
    }
    // A crash must not leave a file with the right name and half of its content.
    await file.sync();
  } finally {
    response.destroy();
    await file.close();
  }
  if (at < options.sizeBytes) throw new Error(`the server closed after ${at} of ${options.sizeBytes} bytes`);
}

async function ask(options: DownloadOptions, from: number): Promise<IncomingMessage> {
  const url = new URL(`${options.apiUrl.replace(/\/+$/, "")}${options.path}`);
  const socket = await dial(url, options, SILENCE_MS);
  return new Promise((resolve, reject) => {
    const asked = request({
      createConnection: () => socket,
      method: "GET",
      path: url.pathname + url.search,
      signal: options.signal,
      timeout: SILENCE_MS,
      headers: { host: url.host, connection: "close", ...(from > 0 && { range: `bytes=${from}-` }) },
    });
    asked.once("timeout", () => asked.destroy(new Error(`the server was silent for ${SILENCE_MS / 1000} s`)));
    asked.once("error", reject);
    asked.once("response", (response) => {
      const { statusCode = 0 } = response;
      if (statusCode === 200 || statusCode === 206) return resolve(response);
      response.destroy();
      const why = `${url.pathname} answers with ${statusCode}`;
      // What the server does not have yet another coordinator may; what it refuses stays refused.
      reject(statusCode === 404 || statusCode >= 500 ? new Error(why) : refusal(options, why));
    });
    asked.end();
  });
}

async function isWhole(path: string, { sizeBytes, sha256 }: DownloadOptions): Promise<boolean> {
  if ((await sizeOf(path)) !== sizeBytes) return false;
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex") === sha256;
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => -1,
  );
}

async function versionOf(path: string): Promise<string> {
  try {
    const options = { env: {}, timeout: VERSION_MS, maxBuffer: 64 * 1024, killSignal: "SIGKILL" as const };
    return (await promisify(execFile)(path, ["--version"], options)).stdout.trim();
  } catch (error) {
    return errorLine(error);
  }
}
