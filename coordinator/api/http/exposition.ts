/**
 * Prometheus' text format, written line by line: for figures that are kept elsewhere and only read when they are asked
 * for. Label values are escaped; a name is said once with its help and type.
 */

interface Distribution {
  readonly bounds: readonly number[];
  /** Per bucket, not cumulative; one more than bounds. */
  readonly counts: Float64Array;
  readonly sum: number;
}

export type Labels = Record<string, string>;

export class Exposition {
  readonly #lines: string[] = [];

  gauge(name: string, help: string, value: number): void {
    this.series(name, "gauge", help, [[{}, value]]);
  }

  /** One name with several label sets. */
  series(name: string, type: "gauge" | "counter", help: string, values: Iterable<[Labels, number]>): void {
    this.#head(name, type, help);
    for (const [labels, value] of values) this.#lines.push(`${name}${labelText(labels)} ${value}`);
  }

  histogram(name: string, help: string, { bounds, counts, sum }: Distribution): void {
    this.#head(name, "histogram", help);
    let below = 0;
    counts.forEach((count, bucket) => {
      below += count;
      this.#lines.push(`${name}_bucket{le="${bounds[bucket] ?? "+Inf"}"} ${below}`);
    });
    this.#lines.push(`${name}_sum ${sum}`, `${name}_count ${below}`);
  }

  text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  #head(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels);
  if (pairs.length === 0) return "";
  return `{${pairs.map(([name, value]) => `${name}="${escaped(value)}"`).join(",")}}`;
}

function escaped(value: string): string {
  return value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}
