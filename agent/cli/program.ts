/**
 * The command tree and one run of it: arguments in, exit code out. Commands are declared in `command/`; this file gives
 * them their surroundings and turns whatever they throw into a sentence and a code. An agent stays for months: under
 * `agent` nothing is loaded that only other commands need.
 */
import { type Argument, Command } from "commander";
import { Exit } from "../../shared/error/exit.ts";
import { addExamples, addGlobalOptions, type Bind } from "./command/tree.ts";
import { reportFailure } from "./failure.ts";
import type { Invocation } from "./invocation.ts";
import { CLIENT_SETTINGS, readClientSettings } from "./settings.ts";
import { type Screen, screen, speaksUnicode } from "./terminal.ts";
import { PROGRAM_VERSION } from "./version.ts";

interface Surroundings {
  environment: NodeJS.ProcessEnv;
  out: Screen;
  err: Screen;
}

/** Runs the command line `words` (what follows the program's name) and resolves with its exit code. Never rejects. */
export async function runCommandLine(words: string[], environment = process.env): Promise<number> {
  const out = screen(process.stdout, environment);
  const err = screen(process.stderr, environment);
  let exit: number = Exit.DONE;
  try {
    const ended = (code: number): void => {
      exit = code;
    };
    const program = await buildProgram({ environment, out, err }, ended, words[0]);
    await program.parseAsync(words, { from: "user" });
    return exit;
  } catch (thrown) {
    return reportFailure(thrown, err, words.includes("--json"));
  }
}

/**
 * The tree, of which `agent` alone is there when that is the first word. `ended` is told the exit code of the command that
 * ran. Exported for tests.
 */
export async function buildProgram(
  surroundings: Surroundings,
  ended: (exit: number) => void,
  first?: string,
): Promise<Command> {
  const { out, err } = surroundings;
  const program = new Command("airavata");
  program
    .description("Runs experiments of many tasks on the computers you have.")
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .helpCommand(false)
    .helpOption("-h, --help", "show this help")
    .version(PROGRAM_VERSION, "-V, --version", "show the version")
    // Inherited by every command that is added below.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => out.write(text),
      writeErr: (text) => err.write(text),
      // Said once and in the same form as every other error, by reportFailure.
      outputError: () => {},
      getOutHelpWidth: () => out.columns || 100,
      getErrHelpWidth: () => err.columns || 100,
      getOutHasColors: () => out.paint("bold", "x") !== "x",
      getErrHasColors: () => err.paint("bold", "x") !== "x",
    })
    .configureHelp({
      styleTitle: (text) => out.paint("bold", text),
      // First what is the command's own, --help among it; then what every command has.
      groupItems: (_all, visible, groupOf) =>
        new Map(
          [...Map.groupBy(visible, groupOf)].sort(([a], [b]) => Number(b === "Options:") - Number(a === "Options:")),
        ),
      // Every command has options; saying so in each line of a list tells nothing.
      subcommandTerm: (command) =>
        [command.name(), ...command.registeredArguments.map((argument) => humanArgument(argument))].join(" "),
    });
  addGlobalOptions(program);
  addExamples(program, [
    "run examples/sweep.yaml",
    "experiment list",
    "task logs 17/dock/42 --follow",
    "help experiment retry",
  ]);

  const bind = binder(surroundings, ended);
  if (first === "agent") (await import("./command/agent.ts")).addAgentCommands(program, bind);
  else (await import("./command/every.ts")).addEveryCommand(program, bind);
  return program;
}

function binder({ environment, out, err }: Surroundings, ended: (exit: number) => void): Bind {
  return (run) =>
    async (...given) => {
      // Commander passes the arguments, the options, the command; the first may be a list (`<task...>`).
      const command = given.at(-1) as Command;
      const options = command.optsWithGlobals() as Record<string, unknown>;
      const flags: Record<string, unknown> = {};
      for (const { flag } of Object.values(CLIENT_SETTINGS)) flags[flag.slice(2)] = options[camelCase(flag.slice(2))];
      const settings = await readClientSettings(flags, environment);
      const invocation: Invocation = {
        environment,
        out,
        err,
        json: options.json === true,
        unicode: speaksUnicode(environment),
        args: (command.processedArgs as unknown[]).flat() as (string | undefined)[],
        options,
        settings,
        connect: async () => (await import("./connect.ts")).connect(settings),
      };
      ended((await run(invocation)) ?? Exit.DONE);
    };
}

function humanArgument(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? `<${name}>` : `[${name}]`;
}

function camelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
