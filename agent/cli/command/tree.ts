/** How a command enters the tree: description, arguments, options, examples, and the options that every command has. */
import { type Command, Option } from "commander";
import type { Run } from "../invocation.ts";
import { CLIENT_SETTINGS } from "../settings.ts";

export interface CommandSpec {
  /** Name and arguments as commander writes them: `show <task>`. */
  usage: string;
  description: string;
  options?: [flags: string, description: string, parse?: (value: string, previous: unknown) => unknown][];
  /** Without the word `airavata`. */
  examples: string[];
  /** `none`: the command reads options of its own (the agent's settings). */
  globals?: "all" | "none";
}

/** Binds a command's work to the run of the program. */
export type Bind = (run: Run) => (...given: unknown[]) => Promise<void>;

export function addCommand(parent: Command, spec: CommandSpec, bind: Bind, run: Run): Command {
  const command = parent.command(spec.usage).description(spec.description);
  for (const [flags, description, parse] of spec.options ?? []) {
    const option = new Option(flags, description);
    if (parse) option.argParser(parse);
    command.addOption(option);
  }
  if (spec.globals !== "none") addGlobalOptions(command);
  addExamples(command, spec.examples);
  return command.action(bind(run));
}

/** A word that only holds commands. */
export function addGroup(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description).helpCommand(false);
}

/** `--json`, and where the server is found. They may stand before or after the command's name. */
export function addGlobalOptions(command: Command): void {
  const options: [string, string][] = [
    ["--json", "print JSON: one document, or one line per event where it streams"],
    ...Object.values(CLIENT_SETTINGS).map((setting): [string, string] => [
      `${setting.flag} <${placeholder(setting.flag)}>`,
      setting.doc,
    ]),
  ];
  for (const [flags, description] of options) {
    command.addOption(new Option(flags, description).helpGroup("Options of every command:"));
  }
}

export function addExamples(command: Command, examples: string[]): void {
  if (examples.length === 0) return;
  command.addHelpText("after", `\nExamples:\n${examples.map((example) => `  airavata ${example}`).join("\n")}`);
}

/** Reads a whole number of an option; commander prints the message. */
export function wholeNumber(minimum: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d{1,15}$/.test(value) || number < minimum) {
      throw invalid(`It must be a whole number of at least ${minimum}.`);
    }
    return number;
  };
}

/** Reads one of some words, however it is written. */
export function oneOf(words: readonly string[]): (value: string) => string {
  return (value) => {
    const word = value.toUpperCase();
    if (!words.includes(word)) throw invalid(`It must be one of ${words.join(", ")}.`);
    return word;
  };
}

/** What commander takes for a refused value, and prints with the option's name. */
function invalid(sentence: string): Error {
  return Object.assign(new Error(sentence), { code: "commander.invalidArgument" });
}

/** Gathers a repeatable option. */
export function gather(value: string, previous: unknown): string[] {
  return [...((previous as string[] | undefined) ?? []), value];
}

function placeholder(flag: string): string {
  if (flag === "--server") return "url";
  if (flag.endsWith("-dir")) return "dir";
  return flag.endsWith("-file") ? "file" : "name";
}
