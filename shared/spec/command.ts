/**
 * A task's command, one of script, command and argv, compiled: shell text with its references as variables, plain command
 * lines as argv, scripts of other interpreters as they are.
 */
import { PARAMETER_VALUE_BYTES_MAX, REFERENCE_PATHS_MAX } from "../model/constants.ts";
import type { Command, TemplateDefinition, ValuePart } from "../model/definition.ts";
import { shown } from "./check.ts";
import { type Located, nodeAt } from "./document.ts";
import type { FileNeeds } from "./files.ts";
import { nearestSlip } from "./nearest.ts";
import { byteLength } from "./parameters.ts";
import type { Position, Problems, SpecPath } from "./problem.ts";
import { foreignReference, parseParts, referenceAt, type Scope } from "./reference.ts";
import type { SpecFile, TaskFile } from "./schema.ts";
import { compileShell } from "./shell.ts";
import { plainWords } from "./words.ts";

export interface CommandContext {
  file: SpecFile;
  root: Located;
  files: FileNeeds;
  problems: Problems;
}

const KEYS = ["script", "command", "argv"] as const;

/** The command of a task; undefined when it has problems. */
export function compileCommand(
  name: string,
  task: TaskFile,
  scope: Scope,
  parents: readonly TemplateDefinition[],
  context: CommandContext,
): Command | undefined {
  const { problems, file } = context;
  const path: SpecPath = ["tasks", name];
  const present = KEYS.filter((key) => task[key] !== undefined);
  if (present.length !== 1) {
    if (present.length === 0 && KEYS.some((key) => problems.touches([...path, key]))) return undefined;
    const which = present.length === 0 ? "has none of script, command and argv" : `has ${present.join(" and ")}`;
    problems.add(
      path,
      present.length === 0 ? "spec_missing" : "spec_conflict",
      `${name} ${which}; exactly one of them says what to run`,
    );
    return undefined;
  }
  if (task.argv) return compileArgv(name, task.argv, scope, parents, context);
  if (task.command !== undefined) return compileText(name, task.command, [...path, "command"], scope, context);
  const script = task.script as string;
  const text = file.scripts?.get(script);
  if (text !== undefined) return compileText(name, text, ["scripts", script], scope, context);
  if (problems.touches(["scripts", script]) || file.scripts?.has(script)) return undefined;
  const known = [...(file.scripts?.keys() ?? [])];
  const near = nearestSlip(script, known);
  problems.add([...path, "script"], "spec_reference", `there is no script ${shown(script)}`, {
    hint: near ? `did you mean ${near}?` : `scripts: ${known.join(", ") || "none"}`,
  });
  return undefined;
}

function compileArgv(
  name: string,
  argv: string[],
  scope: Scope,
  parents: readonly TemplateDefinition[],
  context: CommandContext,
): Command | undefined {
  const { problems, files } = context;
  const path: SpecPath = ["tasks", name, "argv"];
  const words: ValuePart[][] = [];
  for (const [position, text] of argv.entries()) {
    const here = [...path, position];
    const { parts, problems: found } = parseParts(text, scope);
    for (const problem of found) reportAt(context, here, problem.offset, "spec_reference", problem);
    for (const part of parts) {
      if (typeof part === "string" || "value" in part) continue;
      const parent = parents.find((each) => each.ordinal === part.template);
      if (parent && parts.length === 1 && parent.count > REFERENCE_PATHS_MAX && isMany(scope, text)) {
        problems.add(
          here,
          "spec_too_large",
          `${text} would be ${parent.count} paths; the limit is ${REFERENCE_PATHS_MAX}`,
        );
      }
    }
    words.push(parts);
  }
  const first = words[0] as ValuePart[];
  if (typeof first[0] === "string" && first[0].startsWith("./")) {
    const found = files.besideSpec(argv[0] as string, `the program of ${name}`, [...path, 0]);
    if (found !== undefined && files.directory !== undefined) first[0] = `${files.directory}/${first[0].slice(2)}`;
  } else if (first.length === 1 && first[0] === "")
    problems.add([...path, 0], "spec_value", "the program's name is empty");
  if (isMany(scope, argv[0] as string))
    problems.add([...path, 0], "spec_reference", "the program cannot be several paths");
  return problems.touches(path) ? undefined : { kind: "argv", argv: words };
}

function isMany(scope: Scope, text: string): boolean {
  const reference = referenceAt(text, text.startsWith("$") ? 1 : 0);
  return reference !== undefined && scope.find(reference.name)?.many === true;
}

function compileText(
  name: string,
  text: string,
  path: SpecPath,
  scope: Scope,
  context: CommandContext,
): Command | undefined {
  const { problems, files } = context;
  if (text.trim() === "") {
    problems.add(path, "spec_value", "the text is empty");
    return undefined;
  }
  const interpreter = otherInterpreter(text);
  if (interpreter !== undefined) return checkScript(text, interpreter, path, scope, context);
  const bytes = byteLength(text);
  if (bytes > PARAMETER_VALUE_BYTES_MAX) return tooLong(bytes);
  const compiled = compileShell(text, scope, files.directory);
  for (const problem of compiled.problems) reportAt(context, path, problem.offset, problem.code, problem);
  for (const note of compiled.notes) problems.note(path, note.message, placeOf(context, path, note.offset));
  if (compiled.program && (files.directory === undefined || compiled.program.plain)) {
    files.besideSpec(compiled.program.word, `the program of ${name}`, path);
  }
  if (problems.touches(path)) return undefined;
  const compiledBytes = byteLength(compiled.text);
  if (compiledBytes > PARAMETER_VALUE_BYTES_MAX) return tooLong(compiledBytes);
  const words = plainWords(text, scope);
  if (!words) return { kind: "shell", text: compiled.text };
  const program = words[0]?.[0] as string;
  if (program.startsWith("./")) words[0] = [`${files.directory}/${program.slice(2)}`];
  return { kind: "argv", argv: words };

  function tooLong(bytes: number): undefined {
    problems.add(
      path,
      "spec_too_large",
      `the shell text has ${bytes} bytes; the limit is ${PARAMETER_VALUE_BYTES_MAX}`,
      {
        hint: "put it in a file beside the experiment file and call that",
      },
    );
  }
}

/** The first line's interpreter when it is not what shell texts run under anyway. */
function otherInterpreter(text: string): string | undefined {
  const line = /^#!([^\n]*)/.exec(text)?.[1]?.trim();
  if (line === undefined) return undefined;
  return /^(\/usr)?\/bin\/(sh( -e)?|env sh)$/.test(line.replaceAll(/\s+/g, " ")) ? undefined : line;
}

function checkScript(
  text: string,
  interpreter: string,
  path: SpecPath,
  scope: Scope,
  context: CommandContext,
): Command | undefined {
  const { problems } = context;
  if (!interpreter.startsWith("/")) {
    problems.add(
      path,
      "spec_value",
      `the first line must name the interpreter by an absolute path, it names ${shown(interpreter)}`,
      {
        hint: "write for example #!/usr/bin/env python3",
      },
    );
  }
  for (let i = text.indexOf("{"); i >= 0; i = text.indexOf("{", i + 1)) {
    const reference = foreignReference(text, i);
    if (!reference) continue;
    const resolution = scope.find(reference.name);
    if (!resolution) continue;
    const instead = resolution.variable === null ? "use argv" : `use the environment variable ${resolution.variable}`;
    const message = `{${reference.name}} cannot stand inside a script that ${shown(interpreter)} reads: ${instead}`;
    reportAt(context, path, i, "spec_reference", {
      message,
      hint: `braces of the script's own are written { ${reference.name} }`,
    });
  }
  return problems.touches(path) ? undefined : { kind: "script", text };
}

function reportAt(
  context: CommandContext,
  path: SpecPath,
  offset: number,
  code: "spec_reference" | "spec_shell" | "spec_path",
  problem: { message: string; hint?: string },
): void {
  if (context.problems.full) return;
  const hint = problem.hint === undefined ? {} : { hint: problem.hint };
  context.problems.add(path, code, problem.message, { ...hint, at: placeOf(context, path, offset) });
}

function placeOf(context: CommandContext, path: SpecPath, offset: number): Position {
  const node = nodeAt(context.root, path);
  return node?.kind === "scalar" ? node.placeOf(offset) : (node?.at ?? { line: null, column: null });
}
