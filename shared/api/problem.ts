/**
 * How every refusal looks: `application/problem+json` (RFC 9457) with a stable `code`, a sentence to act on and, for
 * fields of the request or places in the experiment file, one entry each.
 */
import { z } from "zod";

export const PROBLEM_CONTENT_TYPE = "application/problem+json";

export const FieldProblem = z
  .object({
    /** Dotted path into the request or the experiment file; empty for the whole of it. */
    field: z.string(),
    message: z.string(),
    /** What to write instead. */
    hint: z.string().optional(),
    code: z.string().optional(),
    line: z.int().min(1).optional(),
    column: z.int().min(1).optional(),
  })
  .meta({ id: "FieldProblem" });
export type FieldProblem = z.infer<typeof FieldProblem>;

export const Problem = z
  .object({
    type: z.string().meta({ description: "urn:airavata:error:CODE; docs/errors.md describes each." }),
    title: z.string().meta({ description: "The HTTP status in words." }),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: "A sentence a person can act on." }),
    code: z.string().meta({ description: "Stable; programs decide by it." }),
    request_id: z.string(),
    errors: z.array(FieldProblem).optional(),
    data: z.record(z.string(), z.unknown()).optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof Problem>;
