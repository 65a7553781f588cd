/** `run --dry-run`: what would be submitted, rendered here from the definition: templates, counts, first and last task. */
import type { Command, ExperimentDefinition, TemplateDefinition, ValuePart } from "../../shared/model/definition.ts";
import { parameterVariable } from "../../shared/spec/reference.ts";
import { decodeInputs } from "../../shared/spec/render.ts";
import { formatCount, humanBytes, humanDuration, plural } from "./format.ts";
import { type Column, renderTable } from "./table.ts";
import { fitWidth, printable, printableLine, type Screen } from "./terminal.ts";

const LINES_SHOWN = 12;

interface DryTask {
  task: string;
  inputs: Record<string, string>;
  /** As a person would type it; values are quoted where a shell would need it. */
  command: string;
}

interface DryTemplate {
  name: string;
  tasks: number;
  foreach: string[];
  needs: string[];
  requires: TemplateDefinition["requires"];
  outputs: Record<string, string>;
  /** The first task and the last one, or the only one. */
  examples: DryTask[];
}

export interface DryRun {
  name: string;
  project: string;
  priority: number;
  tasks: number;
  parameters: Record<string, string>;
  templates: DryTemplate[];
}

export function dryRun(definition: ExperimentDefinition): DryRun {
  const { name, project, priority, parameters } = definition;
  const names = definition.templates.map((template) => template.name);
  const templates = definition.templates.map((template) => ({
    name: template.name,
    tasks: template.count,
    foreach: template.foreach.map((ordinal) => names[ordinal] ?? ""),
    needs: template.needs.map((ordinal) => names[ordinal] ?? ""),
    requires: template.requires,
    outputs: Object.fromEntries(template.outputs.map((output) => [output.name, output.glob])),
    examples: [...new Set([0, template.count - 1])].map((index) => dryTask(template, index, parameters, names)),
  }));
  const tasks = templates.reduce((sum, template) => sum + template.tasks, 0);
  return { name, project, priority, tasks, parameters, templates };
}

export function renderDryRun(run: DryRun, screen: Pick<Screen, "columns" | "paint">): string {
  const columns: Column<DryTemplate>[] = [
    { title: "TEMPLATE", value: (template) => template.name },
    { title: "TASKS", value: (template) => formatCount(template.tasks), align: "right" },
    { title: "AFTER", value: afterText },
    { title: "CPUS", value: (template) => template.requires.cpus, align: "right" },
    { title: "MEMORY", value: (template) => humanBytes(template.requires.memoryBytes), align: "right" },
    { title: "GPUS", value: (template) => template.requires.gpus, align: "right" },
    { title: "TIME LIMIT", value: (template) => humanDuration(template.requires.wallSeconds), align: "right" },
  ];
  const parts = [
    `${printableLine(run.name)}: ${plural(run.tasks, "task")} in project ${printableLine(run.project)}; nothing is submitted.\n`,
    renderTable(columns, run.templates, screen, "No templates."),
    ...run.templates.flatMap((template) => template.examples.map((task) => renderTask(task, screen))),
  ];
  return parts.join("\n");
}

function renderTask({ task, inputs, command }: DryTask, screen: Pick<Screen, "columns" | "paint">): string {
  const values = Object.entries(inputs).map(([name, value]) => `${name}=${quoted(value)}`);
  const width = (screen.columns || 400) - 4;
  const lines = printable(command).trimEnd().split("\n");
  const shown = lines.slice(0, LINES_SHOWN).map((line) => `    ${fitWidth(line, width)}`);
  if (lines.length > LINES_SHOWN) shown.push(`    … ${plural(lines.length - LINES_SHOWN, "more line")}`);
  const head = [screen.paint("bold", task), ...values.map(printableLine)].join("  ");
  return `${[head, ...shown].join("\n")}\n`;
}

function afterText(template: DryTemplate): string {
  return [...template.foreach.map((name) => `each ${name}`), ...template.needs.map((name) => `all ${name}`)].join(", ");
}

function dryTask(
  template: TemplateDefinition,
  index: number,
  parameters: Record<string, string>,
  names: string[],
): DryTask {
  const inputs = decodeInputs(template, index);
  const values = { ...parameters, ...inputs };
  return { task: `${template.name}/${index}`, inputs, command: commandText(template.command, values, names) };
}

function commandText(command: Command, values: Record<string, string>, names: string[]): string {
  if (command.kind === "argv") return command.argv.map((parts) => quoted(wordText(parts, values, names))).join(" ");
  if (command.kind === "script") return command.text;
  // The shell gets a variable in each place; a person wants to see what will be in it.
  let text = command.text;
  for (const [name, value] of Object.entries(values)) {
    // Compiling leaves '' around a value that stood in single quotes; to the shell they are nothing.
    text = text.replaceAll(new RegExp(`(?:'')?"\\$\\{${parameterVariable(name)}\\}"(?:'')?`, "g"), () => quoted(value));
  }
  return text;
}

function wordText(parts: ValuePart[], values: Record<string, string>, names: string[]): string {
  return parts
    .map((part) => {
      if (typeof part === "string") return part;
      return "value" in part ? (values[part.value] ?? "") : `{${names[part.template]}.${part.output}}`;
    })
    .join("");
}

/** A word as a shell would need it. */
function quoted(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,{}-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
