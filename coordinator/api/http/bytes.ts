/**
 * Answers with what tasks wrote: always as an attachment that no browser interprets. One `Range` is honoured where the
 * size is known; the client's pace is the source's pace, because nothing is read before it is asked for.
 */
import type { OutgoingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AiravataError } from "../../../shared/error/error.ts";

/** A body of bytes. */
export interface BytesAnswer {
  /** For `Content-Disposition`. */
  filename?: string;
  contentType?: string;
  headers?: Record<string, string>;
  /** A file: its size is known and parts of it can be read. */
  file?: { sizeBytes: number; read(from: number, to: number): AsyncIterable<Uint8Array> };
  /** Anything else: comes until it ends. */
  stream?: AsyncIterable<Uint8Array>;
  /** Small and ours: may be shown. */
  text?: string;
}

export function sendBytes(request: FastifyRequest, reply: FastifyReply, answer: BytesAnswer): FastifyReply {
  reply.headers(answer.headers ?? {}).type(answer.contentType ?? "application/octet-stream");
  if (answer.filename !== undefined) reply.header("content-disposition", disposition(answer.filename));
  if (answer.text !== undefined) return reply.send(answer.text);
  if (answer.file !== undefined) return sendFile(request, reply, answer.file);
  if (answer.stream === undefined || request.method === "HEAD") return headOnly(reply);
  return pump(reply, answer.stream);
}

/** Past fastify, which would count the missing body as zero bytes. */
function headOnly(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders).end();
  return reply;
}

/**
 * Sends the head at once (a followed log may have nothing to say for hours), then what comes. A source that fails breaks
 * the connection, so that the client sees that the body is not whole.
 */
function pump(reply: FastifyReply, source: AsyncIterable<Uint8Array>): FastifyReply {
  reply.hijack();
  reply.raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  reply.raw.flushHeaders();
  pipeline(Readable.from(source, { objectMode: false, highWaterMark: 1 }), reply.raw).catch(() => reply.raw.destroy());
  return reply;
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: NonNullable<BytesAnswer["file"]>): FastifyReply {
  const range = parseRange(request.headers.range, file.sizeBytes);
  if (range === "beyond") {
    reply.header("content-range", `bytes */${file.sizeBytes}`);
    throw new AiravataError("range_not_satisfiable", `the range is beyond the file's ${file.sizeBytes} bytes`);
  }
  const [from, to] = range ?? [0, file.sizeBytes];
  reply.header("accept-ranges", "bytes").header("content-length", to - from);
  if (range) reply.code(206).header("content-range", `bytes ${from}-${to - 1}/${file.sizeBytes}`);
  if (request.method === "HEAD" || from === to) return headOnly(reply);
  return pump(reply, file.read(from, to));
}

/**
 * The range as [from, to) or undefined for the whole file. What is not one range of bytes is ignored, as RFC 9110 asks;
 * one that begins beyond the end is `beyond`. Exported for tests.
 */
export function parseRange(header: string | undefined, sizeBytes: number): [number, number] | "beyond" | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const last = Math.min(Number(match[2]), sizeBytes);
    return last === 0 ? "beyond" : [sizeBytes - last, sizeBytes];
  }
  const from = Number(match[1]);
  const to = match[2] === "" ? sizeBytes : Math.min(Number(match[2]) + 1, sizeBytes);
  if (match[2] !== "" && Number(match[2]) < from) return undefined;
  return from >= sizeBytes ? "beyond" : [from, to];
}

/** Names are hostile: the plain form keeps harmless characters, the extended form quotes all others. */
function disposition(filename: string): string {
  const plain = filename.replace(/[^A-Za-z0-9._-]/g, "_").slice(-150);
  const encoded = encodeURIComponent(
    filename
      .replace(/\p{Cc}/gu, "_")
      .slice(-150)
      .toWellFormed(),
  ).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}
