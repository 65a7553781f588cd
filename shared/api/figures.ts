/** What agents measure of their nodes and running tasks, as clients see it. Null: not known there. */
import { z } from "zod";
import { NODE_FIGURES, type NodeFigure } from "../model/usage.ts";
import { Timestamp } from "./page.ts";

const Figure = z.number().min(0).nullable();
type Figures<Name extends string> = Record<Name, typeof Figure>;

const RATES = [
  "disk_read_bytes_per_second",
  "disk_written_bytes_per_second",
  "network_received_bytes_per_second",
  "network_sent_bytes_per_second",
] as const;

function figures<Name extends string>(names: readonly Name[]): Figures<Name> {
  return Object.fromEntries(names.map((name) => [name, Figure])) as Figures<Name>;
}

const nodeFigures: Figures<NodeFigure> = figures(NODE_FIGURES);

export const NodeFigures = z
  .object({
    at: Timestamp,
    ...nodeFigures,
    ...figures(RATES),
    gpus: z.array(z.object({ busy: Figure, memory_used_bytes: Figure, memory_total_bytes: Figure })),
  })
  .meta({ id: "NodeFigures", description: "The latest sample; shares are fractions of 1." });
export type NodeFigures = z.infer<typeof NodeFigures>;

export const agentMetricsQuery = {
  since: Timestamp.optional().meta({
    description: "Only samples after this; without it all there are, about an hour.",
  }),
};

export const AgentMetrics = z
  .object({
    agent: z.int().min(1),
    items: z
      .array(
        z.object({
          at: Timestamp,
          cpu: Figure,
          load1: Figure,
          memory_used_bytes: Figure,
          ...figures(RATES),
          gpu: Figure,
        }),
      )
      .meta({ description: "Oldest first, three significant digits." }),
  })
  .meta({ id: "AgentMetrics" });
export type AgentMetrics = z.infer<typeof AgentMetrics>;

export const TaskUsage = z
  .object({
    at: Timestamp,
    cpu_seconds: z.number().min(0),
    cpu: z.number().min(0).meta({ description: "Processors it keeps busy: 1 is all of one." }),
    memory_bytes: z.number().min(0),
    memory_peak_bytes: z.number().min(0).meta({ description: "The most that a sample saw." }),
    read_bytes: z.number().min(0).meta({ description: "From storage; what the page cache answers is not in it." }),
    written_bytes: z.number().min(0),
    recent: z
      .array(z.object({ cpu: z.number().min(0), memory_bytes: z.number().min(0) }))
      .meta({ description: "The latest samples, oldest first." }),
  })
  .meta({ id: "TaskUsage", description: "All processes of a running attempt together, as last sampled." });
export type TaskUsage = z.infer<typeof TaskUsage>;
