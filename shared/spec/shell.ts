/**
 * Compiles the references of a shell text. A value never becomes shell text: a reference turns into an expansion of the
 * environment variable that carries the value, quoted for the place where it stands, so that it arrives as exactly
 * itself and is never split, globbed or executed. Where no such expansion exists it is refused.
 */
import type { Scope } from "./reference.ts";
import { CommandList, precedesProgram } from "./shell-grammar.ts";
import { type ShellProblem, ShellReader } from "./shell-reader.ts";

export interface CompiledShell {
  text: string;
  problems: ShellProblem[];
  notes: { offset: number; message: string }[];
  /** The first command's program when it is written `./x`: as written, and whether it is one plain word. */
  program: { offset: number; word: string; plain: boolean } | null;
}

/** `specDirectory` is where a first program `./x` is found; without one it is left as it is. */
export function compileShell(text: string, scope: Scope, specDirectory?: string): CompiledShell {
  return new ShellCompiler(text, scope, specDirectory).compile();
}

interface HereDocument {
  delimiter: string;
  stripTabs: boolean;
  quoted: boolean;
}

const HERE_OPERATOR = /^<<(-?)[ \t]*((?:[^ \t\n;&|<>()'"\\`]|\\.|'[^'\n]*'|"[^"\n]*")+)/;

class ShellCompiler extends ShellReader {
  private readonly specDirectory: string | undefined;
  private program: CompiledShell["program"] = null;
  private programSeen = false;

  constructor(text: string, scope: Scope, specDirectory: string | undefined) {
    super(text, scope);
    this.specDirectory = specDirectory;
  }

  compile(): CompiledShell {
    this.commands(null, 0);
    return { text: this.out.join(""), problems: this.problems, notes: this.notes, program: this.program };
  }

  protected commands(closer: ")" | null, start: number): void {
    const list = new CommandList();
    const pending: HereDocument[] = [];
    while (this.i < this.end) {
      const c = this.text[this.i] as string;
      const next = this.text[this.i + 1];
      if (c === " " || c === "\t") {
        list.endWord();
        this.copy(1);
      } else if (c === "\n") {
        list.endWord();
        this.copy(1);
        for (const document of pending.splice(0)) this.hereDocument(document);
        list.newCommand();
      } else if (c === "\\" && next === "\n") this.copy(2);
      else if (c === "#" && list.betweenWords) this.comment();
      else if (c === ";" || c === "&" || c === "|") this.operator(c, next, list);
      else if (c === "<" || c === ">") this.redirection(list, pending);
      else if (c === "(") {
        list.openParen(next === "(");
        this.copy(1);
      } else if (c === ")") {
        const ends = list.closeParen();
        this.copy(1);
        if (!ends || closer === null) continue;
        if (pending.length > 0)
          this.problem(start, "spec_shell", "a here-document that begins inside $( … ) must end inside it");
        return;
      } else this.word(c, list);
    }
    list.endWord();
    if (closer !== null) this.problem(start, "spec_shell", "$( is not closed");
  }

  private word(c: string, list: CommandList): void {
    if (list.atProgram) this.programWord();
    const from = this.i;
    list.beforePiece(c);
    const before = this.refusal;
    this.refusal ??= list.evaluation;
    const quotes = this.piece();
    this.refusal = before;
    list.afterPiece(this.text.slice(from, this.i), quotes);
  }

  private operator(c: string, next: string | undefined, list: CommandList): void {
    // `&>` belongs to a redirection: what follows is a file, not a command.
    const redirects = c === "&" && next === ">";
    const endsBranch = c === ";" && (next === ";" || next === "&");
    list.endWord();
    this.copy(endsBranch ? 2 : 1);
    if (endsBranch) list.endBranch();
    if (!redirects) list.newCommand();
  }

  private redirection(list: CommandList, pending: HereDocument[]): void {
    list.redirect();
    if (/^<<(?!<)/.test(this.text.slice(this.i, this.i + 3))) {
      if (list.evaluation !== null)
        this.problem(this.i, "spec_shell", `<< inside ${list.evaluation} means different things to different shells`);
      this.hereOperator(pending);
      return;
    }
    // The file's name is a word, but not the program.
    while (this.i < this.end && /[<>&|]/.test(this.text[this.i] ?? "")) this.copy(1);
    while (this.i < this.end && /[ \t]/.test(this.text[this.i] ?? "")) this.copy(1);
    const before = this.refusal;
    this.refusal ??= list.evaluation;
    while (this.i < this.end && !/[ \t\n;&|<>()]/.test(this.text[this.i] ?? "")) this.piece();
    this.refusal = before;
  }

  private comment(): void {
    const newline = this.text.indexOf("\n", this.i);
    this.within("a comment", () => this.verbatimTo(newline < 0 || newline > this.end ? this.end : newline));
  }

  /** `<<WORD`: remembers the document, whose body begins after the next newline. */
  private hereOperator(pending: HereDocument[]): void {
    const start = this.i;
    const match = HERE_OPERATOR.exec(this.text.slice(this.i, Math.min(this.end, this.i + 1_000)));
    if (!match) {
      this.problem(start, "spec_shell", "<< needs a word that ends the here-document");
      this.copy(2);
      return;
    }
    const raw = match[2] ?? "";
    if (/[$`{]/.test(raw)) this.problem(start, "spec_shell", "the word that ends a here-document must be plain");
    pending.push({
      delimiter: raw.replaceAll(/['"\\]/g, ""),
      stripTabs: match[1] === "-",
      quoted: /['"\\]/.test(raw),
    });
    this.copy(match[0].length);
  }

  private hereDocument(document: HereDocument): void {
    const start = this.i;
    const bodyEnd = this.hereDocumentEnd(document, start);
    if (!document.quoted && /(^|[^\\])(\\\\)*\\\n$/.test(this.text.slice(Math.max(start, bodyEnd - 1_000), bodyEnd))) {
      const message = `the line before ${document.delimiter} ends with a backslash: shells do not agree on where it ends`;
      this.problem(start, "spec_shell", message);
    }
    const outerEnd = this.end;
    this.end = bodyEnd;
    if (document.quoted) this.within("a quoted here-document", () => this.verbatimTo(bodyEnd));
    else while (this.i < this.end) this.inDouble("here");
    this.end = outerEnd;
    // The closing line is the delimiter itself and nothing of it is ours.
    const newline = this.text.indexOf("\n", this.i);
    this.copy((newline < 0 ? this.end : newline) - this.i);
  }

  /** Offset of the line that is the delimiter; the end of the text when there is none, as shells have it. */
  private hereDocumentEnd(document: HereDocument, start: number): number {
    for (let line = start; line < this.end; ) {
      const newline = this.text.indexOf("\n", line);
      const lineEnd = newline < 0 || newline > this.end ? this.end : newline;
      let from = line;
      while (document.stripTabs && this.text[from] === "\t") from++;
      if (lineEnd - from === document.delimiter.length && this.text.startsWith(document.delimiter, from)) return line;
      line = lineEnd + 1;
    }
    return this.end;
  }

  /** The first command's `./x` is found beside the spec: the dot becomes the directory, quoted. */
  private programWord(): void {
    if (!this.text.startsWith("./", this.i)) {
      const word = /^[^\s;&|<>()'"\\`$]*/.exec(this.text.slice(this.i, this.i + 300))?.[0] ?? "";
      if (!precedesProgram(word)) this.programSeen = true;
      return;
    }
    if (this.programSeen) {
      const message =
        "only the first command's ./ is found beside the file; this one is looked for in the task's own directory";
      this.notes.push({ offset: this.i, message });
      return;
    }
    this.programSeen = true;
    const word = /^[^\s;&|<>()]*/.exec(this.text.slice(this.i, this.i + 4_096))?.[0] ?? "";
    this.program = { offset: this.i, word, plain: /^[A-Za-z0-9_@%+:,./=-]+$/.test(word) };
    if (this.specDirectory === undefined) return;
    this.out.push(`'${this.specDirectory.replaceAll("'", `'\\''`)}'`);
    this.i += 1;
  }
}
