/**
 * The events WebSocket. The watcher sends one `subscribe`; the server answers `subscribed`, then sequenced events, each
 * with a cursor `timeline.seq.n`, and unsequenced `progress` at most ten times a second. A watcher that comes back with
 * its last cursor misses nothing: what the ring no longer holds is made good by a `snapshot` first.
 */
import { z } from "zod";
import { DISPOSITION_NAMES } from "../model/attempt.ts";
import { Agent } from "./agent.ts";
import { Experiment, OutcomeName } from "./experiment.ts";
import { Timestamp } from "./page.ts";

export const EVENTS_SUBPROTOCOL = "airavata.events.1";
/** `airavata.bearer.<token>`: how a browser, which cannot set headers, shows its token. */
export const BEARER_SUBPROTOCOL_PREFIX = "airavata.bearer.";
/** `airavata.ticket.<ticket>`: better, as it is good once and for a moment. */
export const TICKET_SUBPROTOCOL_PREFIX = "airavata.ticket.";
/** From asking for a ticket to opening the socket: two round trips of a slow line. */
export const TICKET_LIFETIME_SECONDS = 30;

export const EventsTicket = z.object({ ticket: z.string(), expires_in_seconds: z.int().min(1) }).meta({
  id: "EventsTicket",
  description: "Offer `airavata.events.1` and `airavata.ticket.<ticket>` as subprotocols.",
});

const Cursor = z.string().regex(/^\d{1,15}\.\d{1,15}\.\d{1,9}$/, "a cursor is timeline.seq.n");

/** Without any filter everything is told. */
export const Subscribe = z
  .strictObject({
    type: z.literal("subscribe"),
    experiments: z.array(z.int().min(1)).max(1000).optional(),
    project: z.string().max(200).optional(),
    agents: z.array(z.int().min(1)).max(1000).optional().meta({ description: "Leases and ends of these agents." }),
    cursor: Cursor.optional().meta({
      description: "Cursor of the last event seen; without it a snapshot comes first.",
    }),
  })
  .meta({ id: "Subscribe" });
export type Subscribe = z.infer<typeof Subscribe>;

const sequenced = { cursor: Cursor, at: Timestamp, experiment: z.int().min(1) };
const columns = { template: z.string(), indexes: z.array(z.int()), attempts: z.array(z.int()) };

export const WatchMessage = z
  .discriminatedUnion("type", [
    z.object({ type: z.literal("subscribed"), cursor: Cursor }),
    z.object({
      type: z.literal("snapshot"),
      cursor: Cursor,
      reason: z.string(),
      experiments: z.array(Experiment),
      agents: z.array(Agent),
      complete: z.boolean().meta({ description: "False when more experiments exist than one snapshot names." }),
    }),
    z.object({ type: z.literal("experiment.submitted"), ...sequenced, name: z.string(), tasks: z.int() }),
    z.object({
      type: z.literal("experiment.decided"),
      ...sequenced,
      decision: z.string(),
      reason: z.string(),
      value: z.union([z.string(), z.number()]).nullable(),
    }),
    z.object({ type: z.literal("experiment.ended"), ...sequenced, state: z.string(), reason: z.string() }),
    z.object({ type: z.literal("tasks.leased"), ...sequenced, ...columns, agent: z.int() }),
    z.object({
      type: z.literal("tasks.ended"),
      ...sequenced,
      ...columns,
      agents: z.array(z.int()),
      outcomes: z.array(OutcomeName),
      dispositions: z.array(z.enum(DISPOSITION_NAMES)),
      blames: z.array(z.string()),
      exit_codes: z.array(z.int().nullable()),
    }),
    z.object({ type: z.literal("progress"), cursor: Cursor, experiments: z.array(Experiment) }),
    z.object({ type: z.literal("error"), code: z.string(), message: z.string() }),
  ])
  .meta({ id: "WatchMessage" });
export type WatchMessage = z.infer<typeof WatchMessage>;
