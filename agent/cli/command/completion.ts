/**
 * `airavata completion bash|zsh|fish`: a script made from the command tree itself, so that it knows every command and
 * option and nothing else. It is static: completing a word starts no process. Also `version` and `help`.
 */
import type { Command } from "commander";
import { AiravataError } from "../../../shared/error/error.ts";
import { printJson } from "../invocation.ts";
import { PROGRAM_VERSION } from "../version.ts";
import { addCommand, type Bind } from "./tree.ts";

export function addProgramCommands(program: Command, bind: Bind): void {
  addCommand(
    program,
    {
      usage: "completion <shell>",
      description: "print the completion script of bash, zsh or fish",
      examples: [
        "completion bash > ~/.local/share/bash-completion/completions/airavata",
        "completion zsh > ~/.zfunc/_airavata",
        "completion fish > ~/.config/fish/completions/airavata.fish",
      ],
    },
    bind,
    async (invocation) => {
      invocation.out.write(completionScript(program, invocation.args[0] ?? ""));
      return undefined;
    },
  );
  addCommand(
    program,
    { usage: "version", description: "show the version", examples: ["version --json"] },
    bind,
    async (invocation) => {
      const { version: node, arch, platform } = process;
      if (invocation.json)
        return printJson(invocation, { version: PROGRAM_VERSION, node, platform, arch }) as undefined;
      invocation.out.write(`airavata ${PROGRAM_VERSION} (node ${node}, ${platform}-${arch})\n`);
    },
  );
  addCommand(
    program,
    { usage: "help [command...]", description: "show help for a command", examples: ["help experiment retry"] },
    bind,
    async (invocation) => {
      showHelp(
        program,
        invocation.args.filter((word) => word !== undefined),
      );
      return undefined;
    },
  );
}

/** Prints the help of the command that the words name. Throws `usage_invalid`. */
function showHelp(program: Command, words: string[]): void {
  let command = program;
  for (const word of words) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) {
      throw new AiravataError("usage_invalid", `There is no command "airavata ${words.join(" ")}". See airavata help.`);
    }
    command = next;
  }
  command.outputHelp();
}

interface Entry {
  /** Words after `airavata`, joined by spaces. */
  path: string;
  words: { word: string; help: string }[];
  options: { word: string; help: string; takesValue: boolean }[];
}

/** Throws `usage_invalid` for a shell that it does not know. Exported for tests. */
export function completionScript(program: Command, shell: string): string {
  const entries = flatten(program, "");
  if (shell === "bash") return bashScript(entries);
  if (shell === "zsh") return zshScript(entries);
  if (shell === "fish") return fishScript(entries);
  throw new AiravataError("usage_invalid", `There is no completion for "${shell}": choose bash, zsh or fish.`);
}

function flatten(command: Command, path: string): Entry[] {
  const helper = command.createHelp();
  const entry: Entry = {
    path,
    words: helper.visibleCommands(command).map((sub) => ({ word: sub.name(), help: sub.description() })),
    options: helper.visibleOptions(command).flatMap((option) => {
      const word = option.long ?? option.short;
      return word ? [{ word, help: option.description, takesValue: option.required || option.optional }] : [];
    }),
  };
  const below = command.commands.flatMap((sub) => flatten(sub, path === "" ? sub.name() : `${path} ${sub.name()}`));
  return [entry, ...below];
}

/** Options that take a value, so that the shell does not take the value for a command. */
function valueOptions(entries: Entry[]): string[] {
  return [...new Set(entries.flatMap((entry) => entry.options.filter((o) => o.takesValue).map((o) => o.word)))].sort();
}

/** The walk from the words typed so far to the path of a command; bash and zsh share it. */
function pathFunction(entries: Entry[], name: string): string {
  const paths = entries.filter((entry) => entry.path !== "").map((entry) => `"${entry.path}"`);
  return `${name}() {
  local path="" next skip=0
  for next in "$@"; do
    if [ $skip = 1 ]; then skip=0; continue; fi
    case $next in
      ${valueOptions(entries).join("|")}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${path:+$path }$next" in
      ${paths.join("|")}) path="\${path:+$path }$next" ;;
      *) break ;;
    esac
  done
  printf '%s' "$path"
}
`;
}

function bashScript(entries: Entry[]): string {
  const cases = entries.map((entry) => {
    const words = [...entry.words, ...entry.options].map(({ word }) => word).join(" ");
    const files = entry.words.length === 0 ? " files=1" : "";
    return `    "${entry.path}") words="${words}"${files} ;;`;
  });
  return `# bash completion for airavata
${pathFunction(entries, "_airavata_path")}
_airavata() {
  local words="" files=0 current="\${COMP_WORDS[COMP_CWORD]}"
  case "$(_airavata_path "\${COMP_WORDS[@]:1:COMP_CWORD-1}")" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ \${#COMPREPLY[@]} = 0 ] && [ $files = 1 ]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _airavata airavata
`;
}

function zshScript(entries: Entry[]): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const item = (word: string, help: string): string => quote(`${word}:${help.replaceAll(":", "\\:")}`);
  const cases = entries.map((entry) => {
    const words = [...entry.words, ...entry.options].map(({ word, help }) => item(word, help)).join(" ");
    const files = entry.words.length === 0 ? " files=1" : "";
    return `    "${entry.path}") candidates=(${words})${files} ;;`;
  });
  return `#compdef airavata
${pathFunction(entries, "_airavata_path")}
_airavata() {
  local -a candidates
  local files=0
  case "$(_airavata_path "\${(@)words[2,CURRENT-1]}")" in
${cases.join("\n")}
  esac
  if [ $files = 1 ] && [[ \${words[CURRENT]} != -* ]]; then _files; else _describe 'airavata' candidates; fi
}
if [ "$funcstack[1]" = "_airavata" ]; then _airavata "$@"; else compdef _airavata airavata; fi
`;
}

function fishScript(entries: Entry[]): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = entries.flatMap((entry) => {
    const when = `-n ${quote(`test (__airavata_path) = "${entry.path}"`)}`;
    const files = entry.words.length === 0 ? "" : " -f";
    return [
      ...entry.words.map(
        ({ word, help }) => `complete -c airavata${files} ${when} -a ${quote(word)} -d ${quote(help)}`,
      ),
      ...entry.options
        .filter(({ word }) => word.startsWith("--"))
        .map(({ word, help, takesValue }) => {
          const value = takesValue ? " -r" : "";
          return `complete -c airavata ${when} -l ${word.slice(2)}${value} -d ${quote(help)}`;
        }),
    ];
  });
  const paths = entries.filter((entry) => entry.path !== "").map((entry) => quote(entry.path));
  return `# fish completion for airavata
function __airavata_path
  set -l path ""
  set -l skip 0
  for next in (commandline -opc)[2..-1]
    if test $skip = 1; set skip 0; continue; end
    if contains -- $next ${valueOptions(entries).join(" ")}; set skip 1; continue; end
    if string match -q -- '-*' $next; continue; end
    set -l longer (string trim -- "$path $next")
    if contains -- $longer ${paths.join(" ")}; set path $longer; else; break; end
  end
  echo "$path"
end
${lines.join("\n")}
`;
}
