/** What a route is made of. */
import type { z } from "zod";

export const API_PREFIX = "/api/v1";

export interface Answer {
  description: string;
  /** Absent: no body, or not JSON (then `contentType` says what). */
  schema?: z.ZodType;
  contentType?: string;
}

export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** With `{parameter}`; `{path}` is the rest of the URL with its slashes. */
  path: string;
  summary: string;
  tag:
    | "experiments"
    | "tasks"
    | "projects"
    | "agents"
    | "events"
    | "service"
    | "accounts"
    | "groups"
    | "credentials"
    | "resources"
    | "audit";
  params?: Record<string, z.ZodType>;
  query?: Record<string, z.ZodType>;
  /** Other parameters may come too, and are not read: a third party writes the URL. */
  looseQuery?: boolean;
  body?: z.ZodType;
  /** The body may be left out. */
  bodyOptional?: boolean;
  /** Takes `Idempotency-Key`. */
  idempotent?: boolean;
  /** Takes `Range`. */
  ranges?: boolean;
  /** Answers with 101 and speaks WebSocket. */
  webSocket?: boolean;
  answers: Record<number, Answer>;
}

// Generic so that the client's types can be read off the table.
export const json = <T extends z.ZodType>(description: string, schema: T) => ({ description, schema });
export const bytes = (description: string) => ({ description, contentType: "application/octet-stream" });
