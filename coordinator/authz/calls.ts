/**
 * One call to SpiceDB: with a deadline, always, and with every failure as an error whose sentence says where and why.
 */
import { AiravataError } from "../../shared/error/error.ts";
import type { Link, SpicedbClient } from "./link.ts";

/** gRPC's numbers of what SpiceDB answers. */
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const UNAVAILABLE = 14;
export const INVALID_ARGUMENT = 3;
export const NOT_FOUND = 5;
export const FAILED_PRECONDITION = 9;

/** What gRPC's client throws and hands to callbacks. */
export interface CallFailure extends Error {
  code: number;
  details: string;
}

type Callback<Answer> = (failure: CallFailure | null, answer?: Answer) => void;
export type CallOptions = { deadline: number };

/** A unary call. Throws what `failureOf` makes of its failure. */
export async function ask<Answer>(
  link: Link,
  deadlineMs: number,
  begin: (client: SpicedbClient, options: CallOptions, done: Callback<Answer>) => unknown,
): Promise<Answer> {
  const deadline = Date.now() + deadlineMs;
  const client = await clientWithin(link, deadlineMs);
  try {
    return await new Promise<Answer>((resolve, reject) => {
      begin(client, { deadline }, (failure, answer) => (failure ? reject(failure) : resolve(answer as Answer)));
    });
  } catch (failure) {
    throw failed(link, client, deadlineMs, failure);
  }
}

/** What a stream of answers is for this purpose; gRPC's ends with an error when it is canceled. */
interface AnswerStream<Answer> extends AsyncIterable<Answer> {
  cancel(): void;
  on(event: "error", listener: (failure: unknown) => void): unknown;
}

/** A call that answers with a stream; `take` says false to have no more. The deadline is for all of it. */
export async function askStream<Answer>(
  link: Link,
  deadlineMs: number,
  begin: (client: SpicedbClient, options: CallOptions) => AnswerStream<Answer>,
  take: (answer: Answer) => boolean,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  const client = await clientWithin(link, deadlineMs);
  const stream = begin(client, { deadline });
  // One that is canceled says so after nobody reads it any more.
  stream.on("error", () => {});
  try {
    for await (const answer of stream) if (!take(answer)) return;
  } catch (failure) {
    throw failed(link, client, deadlineMs, failure);
  } finally {
    stream.cancel();
  }
}

/** An engine that is still starting is waited for no longer than its answer would be. */
async function clientWithin(link: Link, deadlineMs: number): Promise<SpicedbClient> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const sentence = `${link.where} is not ready after ${deadlineMs / 1000} s`;
    late.reject(new AiravataError("authorization_unavailable", sentence));
  }, deadlineMs);
  try {
    return await Promise.race([link.client(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function failed(link: Link, client: SpicedbClient, deadlineMs: number, failure: unknown): unknown {
  if (!isCallFailure(failure)) return failure;
  if (failure.code === DEADLINE_EXCEEDED) link.distrust(client);
  return failureOf(link.where, deadlineMs, failure);
}

/** Only a question that our own program asks wrongly is not worth another try; all else may pass without us. */
function failureOf(where: string, deadlineMs: number, failure: CallFailure): AiravataError {
  const { code, details } = failure;
  const data = { grpc_code: code };
  if (code === INVALID_ARGUMENT) {
    return new AiravataError("internal", `${where} does not understand what it was asked: ${details}`, {
      cause: failure,
      data,
    });
  }
  const why =
    code === DEADLINE_EXCEEDED
      ? `gave no answer within ${Math.round(deadlineMs / 1000)} s`
      : code === UNAVAILABLE
        ? "is not reachable"
        : isWrongKey(failure)
          ? "refuses our key: SPICEDB_TOKEN is not the preshared key that it was started with"
          : `cannot answer: ${details}`;
  return new AiravataError("authorization_unavailable", `${where} ${why}`, { cause: failure, data });
}

/** The gRPC failure under an error of `ask`. */
export function callFailure(error: unknown): CallFailure | undefined {
  const cause = error instanceof AiravataError ? error.cause : undefined;
  return isCallFailure(cause) ? cause : undefined;
}

/** Servers say 7; gRPC would have it 16, and a proxy may. */
export function isWrongKey({ code }: CallFailure): boolean {
  return code === PERMISSION_DENIED || code === UNAUTHENTICATED;
}

function isCallFailure(error: unknown): error is CallFailure {
  return error instanceof Error && typeof (error as Partial<CallFailure>).code === "number" && "details" in error;
}
