/**
 * References: `{name}`, `{task.OUTPUT}` and `${task.OUTPUT}`, with `{{` and `}}` for the braces themselves. Here is what a
 * name in braces means for one task, and how texts that are no shell texts (argv, environment) are cut into parts.
 */
import { SPEC_PROBLEMS_MAX } from "../model/constants.ts";
import type { TemplateDefinition, ValuePart } from "../model/definition.ts";
import { nearestSlip } from "./nearest.ts";

/** What a reference stands for: the variable that carries it (null: several paths, only in argv) and its part in argv. */
export interface Resolved {
  variable: string | null;
  part: Exclude<ValuePart, string>;
  /** True when it may be several paths. */
  many: boolean;
}

export type Resolution = Resolved | { message: string; hint?: string };

export function isResolved(resolution: Resolution): resolution is Resolved {
  return "part" in resolution;
}

/** An output of a parent as one task sees it. */
export interface VisibleOutput {
  template: number;
  output: string;
  variable: string;
  many: boolean;
}

/** The names that one task may use in braces. */
export class Scope {
  private readonly values: ReadonlySet<string>;
  private readonly outputs: ReadonlyMap<string, VisibleOutput>;
  private readonly templates: ReadonlyMap<string, TemplateDefinition>;
  private readonly task: string;

  /** `outputs` by `task.OUTPUT`; `templates` are all of the experiment, for the sentences only. */
  constructor(
    task: string,
    values: ReadonlySet<string>,
    outputs: ReadonlyMap<string, VisibleOutput>,
    templates: ReadonlyMap<string, TemplateDefinition>,
  ) {
    this.task = task;
    this.values = values;
    this.outputs = outputs;
    this.templates = templates;
  }

  /** What a name stands for; undefined when it may not be used. */
  find(name: string): Resolved | undefined {
    if (this.values.has(name)) return { variable: parameterVariable(name), part: { value: name }, many: false };
    const visible = this.outputs.get(name);
    if (!visible) return undefined;
    const { template, output, variable, many } = visible;
    return { variable: many ? null : variable, part: { output, template }, many };
  }

  /** The same, with a sentence when it may not be used. */
  resolve(name: string): Resolution {
    const found = this.find(name);
    if (found) return found;
    const dot = name.indexOf(".");
    if (dot < 0) return this.undeclared(name);
    const [task, output] = [name.slice(0, dot), name.slice(dot + 1)];
    const template = this.templates.get(task);
    if (!template) return this.undeclared(name);
    if (task === this.task)
      return { message: `{${name}} is an output of the task itself`, hint: "write the file's name" };
    if (template.outputs.every((known) => known.name !== output)) {
      const names = template.outputs.map((known) => known.name);
      const near = nearestSlip(output, names);
      const known = names.length === 0 ? "none" : names.join(", ");
      return {
        message: `{${name}}: ${task} has no output ${output}`,
        hint: near ? `did you mean {${task}.${near}}?` : `its task_outputs: ${known}`,
      };
    }
    return { message: `{${name}} needs ${task} under foreach or needs of ${this.task}`, hint: `add needs: [${task}]` };
  }

  /** Whether an output part may be several paths. */
  isMany(part: { output: string; template: number }): boolean {
    for (const seen of this.outputs.values()) {
      if (seen.output === part.output && seen.template === part.template) return seen.many;
    }
    return false;
  }

  private undeclared(name: string): { message: string; hint: string } {
    const near = nearestSlip(name, [...this.values, ...this.outputs.keys()]);
    const meant = near ? `did you mean {${near}}? ` : "";
    return { message: `{${name}} is not declared`, hint: `${meant}write {{${name}}} for the braces themselves` };
  }
}

/** The environment variable of a parameter or input. */
export function parameterVariable(name: string): string {
  return `AIRAVATA_PARAM_${name.replaceAll("-", "_")}`;
}

/** The environment variable of another task's output. */
export function outputVariable(task: string, output: string): string {
  return `AIRAVATA_INPUT_${task.replaceAll("-", "_")}_${output.replaceAll("-", "_")}`;
}

const REFERENCE = /\{([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)?)\}/y;

/** The name in braces that begins exactly at `offset`, if one does. */
export function referenceAt(text: string, offset: number): { name: string; length: number } | undefined {
  REFERENCE.lastIndex = offset;
  const match = REFERENCE.exec(text);
  return match ? { name: match[1] ?? "", length: match[0].length } : undefined;
}

/** The same in a text that is not ours to read: `{{name}}` and `${name}` are its own. */
export function foreignReference(text: string, offset: number): { name: string; length: number } | undefined {
  const reference = text[offset] === "{" ? referenceAt(text, offset) : undefined;
  if (!reference) return undefined;
  const [before, after] = [text[offset - 1], text[offset + reference.length]];
  const own = (before === "{" && after === "}") || (before === "$" && !reference.name.includes("."));
  return own ? undefined : reference;
}

/**
 * Offsets of the `{{` and `}}` that stand for one brace each: those that pair. An unpaired `}}`, as two blocks of awk or
 * the ends of `${a:-${b}}` give it, is two braces of the text's own.
 */
export function pairedBraces(text: string): Set<number> {
  const paired = new Set<number>();
  const open: (number | null)[] = [];
  let i = 0;
  while (i < text.length) {
    if (text.startsWith("${", i) && !text.startsWith("${{", i)) {
      open.push(null);
      i += 2;
    } else if (text.startsWith("{{", i)) {
      open.push(i);
      i += 2;
    } else if (text[i] === "{") {
      i += referenceAt(text, i)?.length ?? 1;
    } else if (text[i] === "}" && open.at(-1) === null) {
      open.pop();
      i += 1;
    } else if (text.startsWith("}}", i)) {
      const start = open.pop();
      if (typeof start === "number") paired.add(start).add(i);
      i += 2;
    } else i += 1;
  }
  return paired;
}

/** A text without a shell as parts. Problems carry the offset in the text. */
export function parseParts(
  text: string,
  scope: Scope,
): { parts: ValuePart[]; problems: { offset: number; message: string; hint?: string }[] } {
  const parts: ValuePart[] = [];
  const problems: { offset: number; message: string; hint?: string }[] = [];
  const paired = pairedBraces(text);
  let literal = "";
  let i = 0;
  while (i < text.length) {
    if (paired.has(i)) {
      literal += text[i];
      i += 2;
      continue;
    }
    const dollar = text[i] === "$" && text[i + 1] === "{" && !paired.has(i + 1) ? 1 : 0;
    const reference = text[i + dollar] === "{" ? referenceAt(text, i + dollar) : undefined;
    // `${name}` is a variable of some shell further on; only the dotted form is ours.
    if (!reference || (dollar === 1 && !reference.name.includes("."))) {
      const length = reference ? dollar + reference.length : 1;
      literal += text.slice(i, i + length);
      i += length;
      continue;
    }
    if (problems.length >= SPEC_PROBLEMS_MAX) break;
    const resolution = scope.resolve(reference.name);
    if (isResolved(resolution)) {
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(resolution.part);
      if (resolution.many && (dollar + reference.length !== text.length || parts.length !== 1)) {
        problems.push({
          offset: i,
          message: `{${reference.name}} is several paths and must be an argument of its own`,
          hint: `write "{${reference.name}}" as one entry of argv`,
        });
      }
    } else problems.push({ offset: i, ...resolution });
    i += dollar + reference.length;
  }
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return { parts, problems };
}
