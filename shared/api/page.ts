/** Lists: `limit` and an opaque `cursor` go in, `{items, next_cursor}` comes out; a null cursor is the end. */
import { z } from "zod";
import { PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX } from "../model/constants.ts";

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(PAGE_ITEMS_MAX).default(PAGE_ITEMS_DEFAULT),
  cursor: z.string().max(200).optional().meta({ description: "`next_cursor` of the page before." }),
};

export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next_cursor: z.string().nullable() });
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** RFC 3339 in UTC. */
export const Timestamp = z.iso.datetime();
