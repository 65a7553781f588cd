/** `/metrics` for Prometheus: the guide's four names, the dispatcher's own figures and those of the process. */
import { Counter, collectDefaultMetrics, Registry } from "prom-client";
import type { Capacity } from "../../../shared/model/requirement.ts";
import type { WorkFigures } from "../../domain/figures.ts";
import type { ProjectView } from "../../domain/project/projects.ts";
import { agentFigures, type NamedSample } from "./agent-figures.ts";
import { Exposition, type Labels } from "./exposition.ts";
import { projectFigures } from "./project-figures.ts";

export interface Metrics {
  /** `route` is the table's path, never the URL: labels must be few. */
  countRequest(method: string, route: string, status: number): void;
  render(): Promise<string>;
  close(): void;
}

interface MetricSources {
  work: WorkFigures;
  /** In the order in which they are shown. */
  agents(): NamedSample[];
  /** How projects stand; empty while this coordinator does not lead. */
  projects(): ProjectView[];
  /** Further gauges, by name without prefix. */
  gauges(): Record<string, number>;
}

/** Classes shown on their own; the tasks of all others are one more series. */
const CLASSES_SHOWN_MAX = 50;

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
    render: async () => `${ownFigures(sources)}${await register.metrics()}`,
    close: () => register.clear(),
  };
}

function ownFigures({ work, agents, projects, gauges }: MetricSources): string {
  const out = new Exposition();
  taskFigures(out, work);
  loopFigures(out, work);
  for (const [name, value] of Object.entries({ ...work.dispatch(), ...gauges() })) {
    if (!/^[a-z][a-z0-9_]*$/.test(name) || !Number.isFinite(value)) continue;
    const type = name.endsWith("_total") ? "counter" : "gauge";
    out.series(`scheduler_dispatch_${name}`, type, "Figure of the dispatcher or of this coordinator.", [[{}, value]]);
  }
  projectFigures(out, projects());
  agentFigures(out, agents());
  return out.text();
}

function taskFigures(out: Exposition, work: WorkFigures): void {
  const { ended, durationSeconds } = work.tasks;
  const byState = Object.entries(ended).map(([state, value]): [Labels, number] => [{ state }, value]);
  const help = "Tasks that ended for good, by state, since this coordinator began to lead.";
  out.series("scheduler_tasks_total", "counter", help, byState);
  out.histogram("scheduler_tasks_duration_seconds", "How long attempts ran.", durationSeconds);
  out.gauge("scheduler_workers_active", "Agents with a session.", work.activeAgents());
  out.gauge("scheduler_leading", "1 while this coordinator leads.", work.leading() ? 1 : 0);
}

function loopFigures(out: Exposition, work: WorkFigures): void {
  const { flushTasks, flushSeconds, leaseSeconds, acknowledgementSeconds, checkpointSeconds } = work.loop();
  out.histogram("scheduler_journal_append_tasks", "Leases and ends in one append.", flushTasks);
  out.histogram("scheduler_journal_append_seconds", "Append sent until its commit was answered.", flushSeconds);
  out.histogram(
    "scheduler_lease_seconds",
    "Task chosen for an agent until the lease was durable and sent; the oldest of an append stands for all of it.",
    leaseSeconds,
  );
  out.histogram(
    "scheduler_acknowledgement_seconds",
    "Report read until it was durable and acknowledged; the oldest of an append stands for all of it.",
    acknowledgementSeconds,
  );
  out.histogram("scheduler_checkpoint_seconds", "Checkpoint begun until it was durable.", checkpointSeconds);

  const queues = work.queues();
  const shown = queues.slice(0, CLASSES_SHOWN_MAX).map(({ project, requirement, tasks }): [Labels, number] => {
    return [{ project: String(project), class: classText(requirement) }, tasks];
  });
  const others = queues.slice(CLASSES_SHOWN_MAX).reduce((sum, { tasks }) => sum + tasks, 0);
  if (others > 0) shown.push([{ project: "", class: "others" }, others]);
  const help = `Tasks that wait for an agent, by class: the ${CLASSES_SHOWN_MAX} deepest, and all others.`;
  out.series("scheduler_queue_tasks", "gauge", help, merged(shown));
}

/** Classes that differ only in what the label leaves out (wall time, root) are one series. */
function merged(values: [Labels, number][]): [Labels, number][] {
  const byText = new Map<string, [Labels, number]>();
  for (const [labels, value] of values) {
    const text = JSON.stringify(labels);
    const known = byText.get(text);
    if (known) known[1] += value;
    else byText.set(text, [labels, value]);
  }
  return [...byText.values()];
}

function classText({ cpus, memoryBytes, gpus, diskBytes, custom, labels }: Capacity): string {
  const parts = [`cpus=${cpus}`, `memory_bytes=${memoryBytes}`];
  if (gpus > 0) parts.push(`gpus=${gpus}`);
  if (diskBytes > 0) parts.push(`disk_bytes=${diskBytes}`);
  for (const [name, amount] of Object.entries(custom)) parts.push(`${name}=${amount}`);
  for (const [name, value] of Object.entries(labels)) parts.push(`${name}:${value}`);
  return parts.join(" ");
}
