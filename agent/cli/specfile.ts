/**
 * Reads an experiment file and checks it here, before any server is asked: all problems at once, each with its place in
 * the file, the line itself and a caret below the column.
 */
import { access, readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AiravataError } from "../../shared/error/error.ts";
import { SPEC_BYTES_MAX } from "../../shared/model/constants.ts";
import type { ExperimentDefinition } from "../../shared/model/definition.ts";
import { parseExperiment, type SpecOptions } from "../../shared/spec/parse.ts";
import { SpecError, type SpecNote, type SpecProblem } from "../../shared/spec/problem.ts";
import { plural } from "./format.ts";
import { printableLine, type Screen } from "./terminal.ts";

export interface SpecFile {
  /** As it was given on the command line. */
  path: string;
  /** Absolute directory that `./` paths of the file are relative to. */
  directory: string;
  text: string;
}

const STANDARD_INPUT = "(standard input)";

/** Reads the file; `-` is standard input. Throws `file_unreadable`. */
export async function readSpecFile(path: string): Promise<SpecFile> {
  if (path === "-") return { path: STANDARD_INPUT, directory: process.cwd(), text: await readStandardInput() };
  try {
    const { size } = await stat(path);
    // Not read at all when it cannot be one: somebody gave a data file.
    if (size > SPEC_BYTES_MAX) {
      throw new AiravataError(
        "file_unreadable",
        `${path} has ${size} bytes; an experiment file has at most ${SPEC_BYTES_MAX}.`,
      );
    }
    return { path, directory: dirname(resolve(path)), text: await readFile(path, "utf8") };
  } catch (cause) {
    if (cause instanceof AiravataError) throw cause;
    const why = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "There is no file" : "Nobody can read the file";
    throw new AiravataError("file_unreadable", `${why} ${path}.`, { cause });
  }
}

export interface CheckedSpec {
  definition: ExperimentDefinition;
  notes: SpecNote[];
}

/** Parses and checks, also that the files it names are there. Throws SpecError. */
export async function checkSpecFile(
  file: SpecFile,
  parameters: Record<string, string>,
  options: SpecOptions,
): Promise<CheckedSpec> {
  const fileName = file.path === STANDARD_INPUT ? undefined : file.path;
  const parsed = parseExperiment({ text: file.text, fileName }, parameters, {
    ...options,
    specDirectory: file.directory,
  });
  const missing: SpecProblem[] = [];
  for (const need of parsed.files) {
    try {
      await access(need.path);
    } catch {
      const message = `${need.what} is ${need.path}, and there is no such file`;
      missing.push({ line: null, column: null, path: need.specPath.join("."), code: "spec_path", message });
    }
  }
  if (missing.length > 0) throw new SpecError(missing, missing.length);
  return { definition: parsed.definition, notes: parsed.notes };
}

/** `-p name=value` words as a record. Throws `usage_invalid`. */
export function parameterOverrides(words: string[]): Record<string, string> {
  const values: Record<string, string> = Object.create(null);
  for (const word of words) {
    const at = word.indexOf("=");
    if (at < 1) throw new AiravataError("usage_invalid", `-p is "${word}" but must be name=value.`);
    values[word.slice(0, at)] = word.slice(at + 1);
  }
  return values;
}

/** All problems for a person, in the manner of compilers: `FILE:LINE:COLUMN: message`, the line, a caret, the way out. */
export function renderSpecProblems(
  error: SpecError,
  file: SpecFile,
  screen: Pick<Screen, "columns" | "paint">,
): string {
  const lines = file.text.split("\n");
  const blocks = error.problems.map((problem) => {
    const place = problem.line === null ? file.path : `${file.path}:${problem.line}:${problem.column}`;
    const path = problem.path === "" ? "" : `${printableLine(problem.path)}: `;
    const out = [`${screen.paint("bold", `${place}:`)} ${path}${printableLine(problem.message)}`];
    if (problem.line !== null) out.push(...excerpt(lines[problem.line - 1] ?? "", problem, screen));
    if (problem.hint !== undefined) out.push(`  ${screen.paint("cyan", "hint:")} ${printableLine(problem.hint)}`);
    return `${out.join("\n")}\n`;
  });
  const count = plural(error.problems.length, "problem");
  return `${blocks.join("\n")}\n${screen.paint("red", "error:")} ${count} in ${file.path}; nothing was submitted.\n`;
}

/** Columns before the caret that are kept when the line is too long. */
const BEFORE_CARET = 40;

function excerpt(source: string, at: SpecProblem, screen: Pick<Screen, "columns" | "paint">): string[] {
  const number = `${at.line} | `;
  const width = Math.max(30, (screen.columns || 160) - number.length - 2);
  const column = Math.max(1, at.column ?? 1);
  // Each character that a terminal would take for a command becomes one space, so that the caret stays below its place.
  const clean = [...source].map((letter) => (printableLine(letter) === letter ? letter : " ")).join("");
  const start = column > width - 1 ? Math.max(0, column - BEFORE_CARET) : 0;
  const shown = clean.slice(start, start + width).trimEnd();
  const caret = `${" ".repeat(number.length + column - 1 - start)}^`;
  return [`  ${screen.paint("dim", number)}${shown}`, `  ${screen.paint("red", caret)}`];
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > SPEC_BYTES_MAX) {
      throw new AiravataError(
        "file_unreadable",
        `Standard input holds more than the ${SPEC_BYTES_MAX} bytes that an experiment file may have.`,
      );
    }
  }
  return Buffer.concat(chunks).toString("utf8");
}
