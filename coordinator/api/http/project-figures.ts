/** How projects stand, for /metrics. A project is a label: beyond a bound the least used ones are summed up in one. */
import type { ProjectView } from "../../domain/project/projects.ts";
import type { Exposition, Labels } from "./exposition.ts";

/** Projects shown on their own; the others are together `(others)`, a name that no project can have. */
const PROJECTS_SHOWN_MAX = 50;
const OTHERS = "(others)";

type Figure = Exclude<keyof ProjectView, "config" | "periodEndsMs">;

const SERIES: [name: string, figure: Figure, help: string][] = [
  ["running", "running", "Tasks of a project with agents, those held ahead among them."],
  ["cpus", "cpus", "Cpus of those tasks together."],
  ["queued", "queued", "Tasks of a project that are queued."],
  ["share", "share", "Weight of a project over those of all that have work now."],
  ["used", "used", "Part of what the projects with work used, decayed with the half-life."],
  ["usage_cpu_hours", "usageCpuHours", "What a project used, decayed with the half-life."],
  ["period_cpu_hours", "periodCpuHours", "What a project used in its present period."],
];

export function projectFigures(out: Exposition, projects: ProjectView[]): void {
  if (projects.length === 0) return;
  const sorted = [...projects].sort((a, b) => b.usageCpuHours - a.usageCpuHours || a.config.project - b.config.project);
  const shown = sorted.slice(0, PROJECTS_SHOWN_MAX);
  const others = sorted.slice(PROJECTS_SHOWN_MAX);
  for (const [name, figure, help] of SERIES) {
    const rows = shown.map((view): [Labels, number] => [{ project: view.config.name }, view[figure]]);
    if (others.length > 0) rows.push([{ project: OTHERS }, others.reduce((sum, view) => sum + view[figure], 0)]);
    out.series(`scheduler_project_${name}`, "gauge", help, rows);
  }
}
