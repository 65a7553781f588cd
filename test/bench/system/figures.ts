/** Figures that a coordinator tells about itself on /metrics. */
import type { Server } from "./coordinator.ts";

/** The dispatcher's own by their short names, all of one moment; `ended`: tasks that have ended since it leads. */
export async function figuresOf(server: Server): Promise<Map<string, number>> {
  const answer = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${server.token}` } });
  const text = await answer.text();
  const figures = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^scheduler_(?:dispatch_)?(\w+) (\S+)$/gm))
    figures.set(name as string, Number(value));
  let ended = 0;
  for (const [, count] of text.matchAll(/^scheduler_tasks_total\{[^}]*\} (\d+)/gm)) ended += Number(count);
  return figures.set("ended", ended);
}

/** One of them; 0 when it is not told. */
export async function figureOf(server: Server, name: string): Promise<number> {
  return (await figuresOf(server)).get(name) ?? 0;
}
