/** `/metrics` for Prometheus: the guide's four names, the dispatcher's own figures and those of the process. */
import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import { DURATION_BUCKETS_SECONDS, type WorkFigures } from "../../domain/figures.ts";

export interface Metrics {
  /** `route` is the table's path, never the URL: labels must be few. */
  countRequest(method: string, route: string, status: number): void;
  render(): Promise<string>;
  close(): void;
}

interface MetricSources {
  work: WorkFigures;
  /** Further gauges, by name without prefix. */
  gauges(): Record<string, number>;
}

export function createMetrics(sources: MetricSources): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const requests = new Counter({
    name: "scheduler_api_requests_total",
    help: "Requests answered, by method, route and status.",
    labelNames: ["method", "route", "status"],
    registers: [register],
  });
  return {
    countRequest: (method, route, status) => requests.inc({ method, route, status }),
    render: async () => `${taskLines(sources).join("\n")}\n${await register.metrics()}`,
    close: () => register.clear(),
  };
}

function taskLines({ work, gauges }: MetricSources): string[] {
  const lines: string[] = [];
  const head = (name: string, type: string, help: string): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  };
  head(
    "scheduler_tasks_total",
    "counter",
    "Tasks that ended for good, by state, since this coordinator began to lead.",
  );
  for (const [state, value] of Object.entries(work.tasks.ended))
    lines.push(`scheduler_tasks_total{state="${state}"} ${value}`);

  head("scheduler_tasks_duration_seconds", "histogram", "How long attempts ran.");
  let below = 0;
  work.tasks.durations.forEach((value, bucket) => {
    below += value;
    lines.push(`scheduler_tasks_duration_seconds_bucket{le="${DURATION_BUCKETS_SECONDS[bucket] ?? "+Inf"}"} ${below}`);
  });
  lines.push(`scheduler_tasks_duration_seconds_sum ${work.tasks.durationSumSeconds}`);
  lines.push(`scheduler_tasks_duration_seconds_count ${below}`);

  head("scheduler_workers_active", "gauge", "Agents with a session.");
  lines.push(`scheduler_workers_active ${work.activeAgents()}`);

  head("scheduler_leading", "gauge", "1 while this coordinator leads.");
  lines.push(`scheduler_leading ${work.leading() ? 1 : 0}`);
  for (const [name, value] of Object.entries({ ...work.dispatch(), ...gauges() })) {
    if (!/^[a-z][a-z0-9_]*$/.test(name) || !Number.isFinite(value)) continue;
    head(
      `scheduler_dispatch_${name}`,
      name.endsWith("_total") ? "counter" : "gauge",
      "Figure of the dispatcher or of this coordinator.",
    );
    lines.push(`scheduler_dispatch_${name} ${value}`);
  }
  return lines;
}
