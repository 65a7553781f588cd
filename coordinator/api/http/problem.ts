/**
 * Turns whatever was thrown into `application/problem+json`. Refusals keep their code and sentence; anything that was
 * not foreseen becomes `internal`, is logged with its stack, and tells the client no more than where to look.
 */
import { STATUS_CODES } from "node:http";
import type { FastifyReply } from "fastify";
import { type FieldProblem, PROBLEM_CONTENT_TYPE, type Problem } from "../../../shared/api/problem.ts";
import type { ErrorCode } from "../../../shared/error/catalogue.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { type Logger, visible } from "../../../shared/log/log.ts";
import { SpecError } from "../../../shared/spec/problem.ts";
import { clientAddress } from "../edge/client.ts";

/** A program that is told to wait tries again after this; leadership usually changes hands in less. */
const RETRY_AFTER_SECONDS = 1;

/** What fastify itself refuses, as our codes. */
const FASTIFY_CODES: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "body_too_large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "media_type_unsupported",
  FST_ERR_CTP_EMPTY_JSON_BODY: "body_invalid",
  FST_ERR_CTP_INVALID_JSON_BODY: "body_invalid",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "body_invalid",
  FST_ERR_BAD_URL: "request_invalid",
};

/** Sends the refusal; never throws. `errors` of zod are carried by `request_invalid` in its data. */
export function sendProblem(reply: FastifyReply, error: unknown, log: Logger): FastifyReply {
  const refusal = refusalOf(error);
  const hasGone = reply.raw.destroyed || reply.request.raw.socket.destroyed;
  if (refusal.code === "internal" && !hasGone) {
    log.error("a request failed", {
      request_id: reply.request.id,
      client: clientAddress(reply.request.raw),
      url: loggedUrl(reply.request.url),
      error,
    });
  }
  const { problem, retryAfter } = problemOf(refusal, reply.request.id);
  if (retryAfter !== undefined) reply.header("retry-after", retryAfter);
  if (problem.status === 401) reply.header("www-authenticate", "Bearer");
  return reply.code(problem.status).header("content-type", PROBLEM_CONTENT_TYPE).send(JSON.stringify(problem));
}

/** A login that comes back from its provider has a secret in its URL. */
function loggedUrl(url: string): string {
  return url.replace(/([?&](?:code|state)=)[^&]*/g, "$1…").slice(0, 200);
}

/** The problem document of a refusal, and the seconds after which another try may succeed. */
export function problemOf(
  refusal: AiravataError,
  requestId: string,
): { problem: Problem; retryAfter: number | undefined } {
  const { errors, problems: _problems, retry_after_seconds: seconds, ...data } = refusal.data;
  const fields =
    refusal instanceof SpecError ? refusal.problems.map(specField) : (errors as FieldProblem[] | undefined);
  const problem: Problem = {
    type: `urn:airavata:error:${refusal.code}`,
    title: STATUS_CODES[refusal.status] ?? "Refused",
    status: refusal.status,
    detail: visible(refusal.message),
    code: refusal.code,
    request_id: requestId,
    ...(fields && fields.length > 0 ? { errors: fields } : {}),
    ...(Object.keys(data).length > 0 ? { data } : {}),
  };
  const mayRetry = refusal.retryable && (problem.status === 503 || problem.status === 429);
  const stated = typeof seconds === "number" ? seconds : RETRY_AFTER_SECONDS;
  return { problem, retryAfter: mayRetry ? stated : undefined };
}

function specField(problem: SpecError["problems"][number]): FieldProblem {
  return {
    field: problem.path,
    code: problem.code,
    message: problem.message,
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    ...(problem.line === null ? {} : { line: problem.line }),
    ...(problem.column === null ? {} : { column: problem.column }),
  };
}

/** The error as one of ours. */
export function refusalOf(error: unknown): AiravataError {
  if (error instanceof AiravataError) return error;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  const known = typeof code === "string" ? FASTIFY_CODES[code] : undefined;
  if (known !== undefined) return new AiravataError(known, sentenceFor(known, String(message)));
  // A body that JSON.parse refused comes without a code of fastify's.
  if (error instanceof SyntaxError && (error as { statusCode?: number }).statusCode === 400) {
    // Its message quotes the body, which may hold a secret.
    return new AiravataError("body_invalid", "the body is not JSON");
  }
  return new AiravataError(
    "internal",
    "the coordinator failed at this; its log has the reason under the request's id",
    {
      cause: error,
    },
  );
}

function sentenceFor(code: ErrorCode, message: string): string {
  if (code === "body_too_large") return "the body is larger than this route takes";
  if (code === "media_type_unsupported") return "the body must be sent with Content-Type: application/json";
  return message.slice(0, 300);
}
