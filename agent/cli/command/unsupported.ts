/**
 * Commands that the interface names and this version does not hold. They stand in the tree so that help, completion and
 * scripts meet one clear refusal, never something that only looks as if it worked.
 */
import type { Command } from "commander";
import { AiravataError } from "../../../shared/error/error.ts";
import { addGroup, type Bind } from "./tree.ts";

interface UnsupportedCommand {
  /** Words after `airavata`. */
  path: string;
  what: string;
}

/** Every such command. Exported for tests. */
export const UNSUPPORTED: UnsupportedCommand[] = [
  ...family("project", "projects", ["delete"]),
  ...family("compute", "compute resources", ["test", "bind", "unbind", "rotate"]),
  ...family("storage", "storage resources", ["test", "bind", "unbind", "rotate"]),
  ...family("data", "files of storage resources", ["ls", "put", "get"]),
  ...family("allocation", "allocations", ["list", "show", "cancel"]),
  { path: "experiment derive", what: "make a new experiment from an old one" },
  { path: "admin backup", what: "write a backup of the database" },
  { path: "admin restore", what: "restore a backup" },
  { path: "admin gc", what: "remove what is past its retention" },
  { path: "admin doctor", what: "look for known faults of an installation" },
];

/** Groups that hold nothing but unsupported commands, with their line in help. */
const UNSUPPORTED_GROUPS: Record<string, string> = {
  data: "files of storage resources",
  allocation: "allocations on compute resources",
};

/** The refusal of `airavata PATH`. */
function unsupportedError(path: string): AiravataError {
  return new AiravataError("not_supported_yet", `This version of airavata does not support "airavata ${path}" yet.`, {
    data: { command: path },
  });
}

function family(word: string, plural: string, verbs: string[]): UnsupportedCommand[] {
  return verbs.map((verb) => ({ path: `${word} ${verb}`, what: `${verb} ${plural}` }));
}

/** Adds them all. The words after the path are taken as they are: whatever is asked, the answer is the same. */
export function addUnsupportedCommands(program: Command, bind: Bind): void {
  for (const { path, what } of UNSUPPORTED) {
    const words = path.split(" ");
    const name = words.pop() as string;
    const parent = words.reduce(
      (command, word, i) => childGroup(command, words.slice(0, i + 1).join(" "), word),
      program,
    );
    parent
      .command(name)
      .description(what)
      .helpOption(false)
      .helpGroup("Not in this version yet:")
      .allowUnknownOption()
      .allowExcessArguments()
      .action(
        bind(async () => {
          throw unsupportedError(path);
        }),
      );
  }
}

function childGroup(parent: Command, path: string, word: string): Command {
  const known = parent.commands.find((command) => command.name() === word);
  return known ?? addGroup(parent, word, UNSUPPORTED_GROUPS[path] ?? path);
}
