/** Walks the pages of a list up to what a person asked for. */
import type { Page } from "../../shared/api/page.ts";
import { PAGE_ITEMS_MAX } from "../../shared/model/constants.ts";
import { formatCount } from "./format.ts";

/** Rows that a list shows unless `--limit` says otherwise. */
export const LIST_ROWS_DEFAULT = 100;

/** Up to `limit` items; `next_cursor` is null when there are no more. `fetch` gets the size and cursor of one page. */
export async function collectPages<T>(
  limit: number,
  fetch: (query: { limit: number; cursor: string | undefined }) => Promise<Page<T>>,
): Promise<Page<T>> {
  const items: T[] = [];
  let cursor: string | undefined;
  while (items.length < limit) {
    const page = await fetch({ limit: Math.min(PAGE_ITEMS_MAX, limit - items.length), cursor });
    items.push(...page.items);
    if (page.next_cursor === null) return { items, next_cursor: null };
    cursor = page.next_cursor;
  }
  return { items, next_cursor: cursor ?? null };
}

/** Every item, page by page, for what has no bound. */
export async function* everyItem<T>(
  fetch: (query: { limit: number; cursor: string | undefined }) => Promise<Page<T>>,
): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const page: Page<T> = await fetch({ limit: PAGE_ITEMS_MAX, cursor });
    yield* page.items;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

/** The line under a list that was cut. */
export function moreLine(page: Page<unknown>): string {
  return page.next_cursor === null ? "" : `The first ${formatCount(page.items.length)}; more with --limit N.\n`;
}
