/**
 * A command line that needs no shell becomes argv, which starts twice as fast: plain words and quotes without expansions,
 * whose first word is no builtin, keyword or assignment. Whatever might mean something else to some shell stays shell.
 */
import type { ValuePart } from "../model/definition.ts";
import { pairedBraces, referenceAt, type Scope } from "./reference.ts";

/** Builtins of dash, bash, ksh and busybox ash, and words of their grammar: outside a shell they are missing or differ. */
const SHELL_WORDS = new Set(
  (
    ". : [ [[ ]] ! { } alias autoload bg bind break builtin caller case cd chdir command compgen complete compopt " +
    "continue coproc declare dirs disown do done echo elif else enable esac eval exec exit export false fc fg fi for " +
    "function functions getopts hash help hist history if in integer jobs kill let local logout mapfile nameref nohup " +
    "popd print printf pushd pwd read readarray readonly return select set shift shopt source stop suspend test then " +
    "time times trap true type typeset ulimit umask unalias unset until wait whence while"
  ).split(" "),
);

/** Characters that no shell treats specially anywhere in a word. */
const PLAIN = /[A-Za-z0-9_@%+:,./=-]/;

/** The words, or null when the line needs a shell. The line's references must already be known to be right. */
export function plainWords(line: string, scope: Scope): ValuePart[][] | null {
  const text = trimmed(line);
  const paired = pairedBraces(text);
  const words: ValuePart[][] = [];
  let word: ValuePart[] | null = null;
  let quote = "";
  let i = 0;
  const add = (part: ValuePart): void => {
    word ??= [];
    const last = word.at(-1);
    if (typeof part === "string" && typeof last === "string") word[word.length - 1] = last + part;
    else word.push(part);
  };
  while (i < text.length) {
    const c = text[i] as string;
    if (c === quote) {
      quote = "";
      add("");
      i++;
      continue;
    }
    const brace = paired.has(i);
    const dollar = c === "$" && text[i + 1] === "{" && !paired.has(i + 1) ? 1 : 0;
    const reference = brace ? undefined : referenceAt(text, i + dollar);
    if (reference && (dollar === 0 || reference.name.includes("."))) {
      const resolution = scope.find(reference.name);
      if (!resolution || resolution.variable === null) return null;
      add(resolution.part);
      i += dollar + reference.length;
    } else if (quote === "'") {
      // `'${name}'` keeps its braces: they are not ours.
      const length = dollar === 1 ? 1 + (reference?.length ?? 1) : 1;
      add(text.slice(i, i + length));
      i += brace ? 2 : length;
    } else if (quote === '"') {
      if (c === "$" || c === "`" || c === "\\") return null;
      add(c);
      i += brace ? 2 : 1;
    } else if (c === " " || c === "\t") {
      if (word) words.push(word);
      word = null;
      i++;
    } else if (c === "'" || c === '"') {
      quote = c;
      add("");
      i++;
    } else if (PLAIN.test(c)) {
      add(c);
      i++;
    } else return null;
  }
  if (quote !== "") return null;
  if (word) words.push(word);
  const program = words[0];
  // A first word that is a value could turn out to be a builtin; an assignment is none of a program's words.
  if (program?.length !== 1 || typeof program[0] !== "string" || program[0] === "") return null;
  if (SHELL_WORDS.has(program[0]) || program[0].includes("=")) return null;
  return words.map((parts) => (parts.length > 1 ? parts.filter((part) => part !== "") : parts));
}

/** Without blanks and newlines at both ends: what a shell skips there, and nothing else that Unicode calls a space. */
function trimmed(line: string): string {
  let [from, to] = [0, line.length];
  while (from < to && " \t\n".includes(line[from] as string)) from++;
  while (to > from && " \t\n".includes(line[to - 1] as string)) to--;
  return line.slice(from, to);
}
