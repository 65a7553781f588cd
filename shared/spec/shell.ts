/**
 * Compiles the references of a shell text. A value never becomes shell text: a reference turns into an expansion of the
 * environment variable that carries the value, quoted for the place where it stands, so that it arrives as exactly
 * itself and is never split, globbed or executed. Where no such expansion exists it is refused. The text is read once,
 * from left to right, with the shell's own rules of quoting.
 */
import { isResolved, pairedBraces, referenceAt, type Scope } from "./reference.ts";

export interface ShellProblem {
  offset: number;
  code: "spec_reference" | "spec_shell" | "spec_path";
  message: string;
  hint?: string;
}

export interface CompiledShell {
  text: string;
  problems: ShellProblem[];
  notes: { offset: number; message: string }[];
  /** The first command's word when it begins with `./`: as written, and whether it is one plain word. */
  program: { offset: number; word: string; plain: boolean } | null;
}

/** Nested substitutions; a person needs three. */
const NESTING_MAX = 50;

/** `$( … )` ends at its own bracket; `case` patterns and subshells have brackets too. */
type Frame = { kind: "paren"; arithmetic: boolean } | { kind: "case"; state: "subject" | "in" | "pattern" | "body" };
type Quote = "bare" | "double" | "single" | "here";

interface HereDocument {
  delimiter: string;
  stripTabs: boolean;
  quoted: boolean;
}

/** After these the next word is a command again. */
const OPENING_WORDS = new Set(["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"]);
const ASSIGNMENT = /^[A-Za-z_][A-Za-z0-9_]*\+?=/;
const NAME_ONLY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `specDirectory` is where a first word `./x` is found; without one such a word is a problem. */
export function compileShell(text: string, scope: Scope, specDirectory?: string): CompiledShell {
  const compiler = new Compiler(text, scope, specDirectory);
  return compiler.compile();
}

/** `'…'` for a shell. */
function singleQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

class Compiler {
  private readonly text: string;
  private readonly scope: Scope;
  private readonly specDirectory: string | undefined;
  private readonly paired: Set<number>;
  private readonly out: string[] = [];
  private readonly result: CompiledShell = { text: "", problems: [], notes: [], program: null };
  private i = 0;
  /** End of what is read now: a here-document's body is read within its own. */
  private end: number;
  /** Why a reference is refused where we are; null where it is compiled. */
  private refusal: string | null = null;
  private depth = 0;
  private programSeen = false;
  private readonly noted = new Set<string>();

  constructor(text: string, scope: Scope, specDirectory: string | undefined) {
    this.text = text;
    this.end = text.length;
    this.scope = scope;
    this.specDirectory = specDirectory;
    this.paired = pairedBraces(text);
  }

  compile(): CompiledShell {
    this.commands(null, 0);
    this.result.text = this.out.join("");
    return this.result;
  }

  /** A list of commands, to the end of the text or to the `)` of a substitution that began at `start`. */
  private commands(closer: ")" | null, start: number): void {
    const frames: Frame[] = [];
    const pending: HereDocument[] = [];
    /** The raw text of the current word; null between words. */
    let word: string | null = null;
    let quoted = false;
    let reserved = true;
    let program = true;
    let inTest = false;
    let arithmetic = 0;
    /** Inside `name[…]`, which shells that know arrays evaluate as arithmetic; looked for at a word's first bracket only. */
    let subscript: "unseen" | "open" | "closed" = "unseen";
    const outside = this.refusal;

    const refresh = (): void => {
      this.refusal = outside ?? (inTest ? "[[ … ]]" : arithmetic > 0 ? "(( … ))" : null);
    };
    const endWord = (): void => {
      if (word === null) return;
      const plain = quoted ? "" : word;
      const frame = frames.at(-1);
      const wasReserved = reserved;
      reserved = false;
      if (inTest) {
        if (plain === "]]") inTest = false;
      } else if (frame?.kind === "case" && frame.state === "subject") frame.state = "in";
      else if (frame?.kind === "case" && frame.state === "in") {
        if (plain === "in") frame.state = "pattern";
      } else if (frame?.kind === "case" && frame.state === "pattern") {
        if (plain === "esac") frames.pop();
      } else if (wasReserved && OPENING_WORDS.has(plain)) reserved = true;
      else if (wasReserved && plain === "case") frames.push({ kind: "case", state: "subject" });
      else if (wasReserved && plain === "esac" && frame?.kind === "case") frames.pop();
      else if (wasReserved && plain === "[[") inTest = true;
      else if (program && ASSIGNMENT.test(word)) program = true;
      else program = false;
      if (reserved) program = true;
      word = null;
      quoted = false;
      subscript = "unseen";
      refresh();
    };
    const newCommand = (): void => {
      reserved = true;
      program = true;
    };

    while (this.i < this.end) {
      const c = this.text[this.i] as string;
      const next = this.text[this.i + 1];
      if (c === " " || c === "\t" || c === "\r") {
        endWord();
        this.copy(1);
      } else if (c === "\n") {
        endWord();
        this.copy(1);
        for (const document of pending.splice(0)) this.hereDocument(document);
        newCommand();
      } else if (c === "\\" && next === "\n") this.copy(2);
      else if (c === "#" && word === null) this.comment();
      else if (c === ";" || c === "&" || c === "|") {
        // `>&` and `&>` belong to redirections: what follows is a file, not a command.
        const redirection = c === "&" && (/[<>]/.test(this.text[this.i - 1] ?? "") || next === ">");
        endWord();
        const frame = frames.at(-1);
        const ends = c === ";" && (next === ";" || next === "&");
        this.copy(ends ? 2 : 1);
        if (ends && frame?.kind === "case" && frame.state === "body") frame.state = "pattern";
        if (!redirection) newCommand();
      } else if (c === "<" || c === ">") {
        if (word !== null && !/^\d+$/.test(word)) endWord();
        else word = null;
        if (c === "<" && next === "<" && this.text[this.i + 2] !== "<") this.hereOperator(pending);
        else {
          this.copy(this.text.startsWith("<<<", this.i) ? 3 : 1);
          // The file of a redirection is a word, but not the program.
          this.skipRedirected();
        }
      } else if (c === "(") {
        const frame = frames.at(-1);
        endWord();
        if (frame?.kind === "case" && frame.state === "pattern") this.copy(1);
        else {
          const isArithmetic = next === "(";
          frames.push({ kind: "paren", arithmetic: isArithmetic });
          if (isArithmetic) arithmetic++;
          this.copy(1);
          refresh();
          newCommand();
        }
      } else if (c === ")") {
        endWord();
        const frame = frames.at(-1);
        if (!frame && closer === ")") {
          this.copy(1);
          if (pending.length > 0)
            this.problem(start, "spec_shell", "a here-document that begins inside $( … ) must end inside it");
          this.refusal = outside;
          return;
        }
        this.copy(1);
        if (frame?.kind === "case" && frame.state === "pattern") frame.state = "body";
        else if (frame?.kind === "paren") {
          frames.pop();
          if (frame.arithmetic) arithmetic--;
          refresh();
        }
        newCommand();
      } else {
        const begins = word === null;
        if (begins && program && frames.at(-1)?.kind !== "case") this.programWord();
        else if (begins && program && (frames.at(-1) as Frame & { kind: "case" })?.state === "body") this.programWord();
        const from = this.i;
        if (c === "[" && subscript === "unseen") subscript = program && NAME_ONLY.test(word ?? "") ? "open" : "closed";
        else if (c === "]") subscript = "closed";
        if (c === "{" && subscript === "open") {
          const before = this.refusal;
          this.refusal ??= "a subscript";
          this.brace("bare");
          this.refusal = before;
        } else if (this.piece(c)) quoted = true;
        word = (word ?? "") + this.text.slice(from, this.i);
      }
    }
    endWord();
    this.refusal = outside;
    if (closer !== null) this.problem(start, "spec_shell", "$( is not closed");
  }

  /** One piece of a word at the current place; true when it quotes. */
  private piece(c: string): boolean {
    switch (c) {
      case "'":
        this.single();
        return true;
      case '"':
        this.double();
        return true;
      case "\\":
        this.escape();
        return true;
      case "`":
        this.backticks();
        return true;
      case "$":
        this.dollar("bare");
        return true;
      case "{":
      case "}":
        return this.brace("bare");
      default:
        this.copy(1);
        return false;
    }
  }

  private single(): void {
    const start = this.i;
    this.copy(1);
    while (this.i < this.end) {
      const c = this.text[this.i];
      if (c === "'") return this.copy(1);
      if (c === "$") this.dollar("single");
      else if (c === "{" || c === "}") this.brace("single");
      else this.copy(1);
    }
    this.problem(start, "spec_shell", "the single quote is not closed");
  }

  private double(): void {
    const start = this.i;
    this.copy(1);
    while (this.i < this.end) {
      if (this.text[this.i] === '"') return this.copy(1);
      this.inDouble("double");
    }
    this.problem(start, "spec_shell", "the double quote is not closed");
  }

  /** One piece where only `$`, backtick and backslash are special: double quotes, here-documents. */
  private inDouble(quote: "double" | "here"): void {
    const c = this.text[this.i];
    if (c === "\\") this.escape();
    else if (c === "`") this.backticks();
    else if (c === "$") this.dollar(quote);
    else if (c === "{" || c === "}") this.brace(quote);
    else this.copy(1);
  }

  /** A backslash shields what follows from us as from the shell; `\${x}` as a whole. */
  private escape(): void {
    const reference = this.text[this.i + 1] === "$" ? referenceAt(this.text, this.i + 2) : undefined;
    this.copy(2 + (reference?.length ?? 0));
  }

  private dollar(quote: Quote): void {
    const next = this.text[this.i + 1];
    if (next === "{" && !this.paired.has(this.i + 1)) {
      const reference = referenceAt(this.text, this.i + 1);
      if (reference?.name.includes(".")) return this.reference(reference.name, 1 + reference.length, quote);
      if (quote === "single") return this.copy(reference ? 1 + reference.length : 2);
      if (reference) this.noteVariable(reference.name);
      return this.within("${ … }", () => this.parameter(quote !== "bare"));
    }
    if (quote === "single") return this.copy(1);
    if (this.text.startsWith("$((", this.i)) return this.within("$(( … ))", () => this.arithmetic());
    if (next === "(") {
      const start = this.i;
      this.copy(2);
      return this.nested(start, () => this.commands(")", start));
    }
    if (next === "'" && quote === "bare") return this.within("$'…'", () => this.ansiQuote());
    if (next !== undefined && /[@*#?$!0-9-]/.test(next)) return this.copy(2);
    this.copy(1);
  }

  /** `${ … }` with its own quoting rules. */
  private parameter(inDouble: boolean): void {
    const start = this.i;
    this.copy(2);
    const rest = this.text.slice(this.i, this.i + 300);
    // A pattern after # or % is quoted by single quotes also inside double quotes; a word after :- is not.
    const pattern = /^[A-Za-z_0-9@*#?$!-]+[#%/]/.test(rest);
    while (this.i < this.end) {
      const c = this.text[this.i];
      if (c === "}") return this.copy(1);
      if (c === "{") {
        if (!this.refuseHere()) this.copy(1);
      } else if (c === "'" && (!inDouble || pattern)) this.single();
      else if (c === '"') this.double();
      else if (c === "\\") this.copy(2);
      else if (c === "`") this.backticks();
      else if (c === "$") this.dollar("double");
      else this.copy(1);
    }
    this.problem(start, "spec_shell", "${ is not closed");
  }

  private arithmetic(): void {
    const start = this.i;
    this.copy(3);
    let open = 2;
    while (this.i < this.end) {
      const c = this.text[this.i];
      if (c === "(") open++;
      if (c === ")" && --open === 0) return this.copy(1);
      if (c === "$") this.dollar("double");
      else if (c === "`") this.backticks();
      else if (c === "'") this.single();
      else if (c === '"') this.double();
      else if (c === "\\") this.copy(2);
      else if (c === "{" || c === "}") this.brace("bare");
      else this.copy(1);
    }
    this.problem(start, "spec_shell", "$(( is not closed");
  }

  private backticks(): void {
    const start = this.i;
    this.copy(1);
    this.within("backticks", () => {
      while (this.i < this.end) {
        const c = this.text[this.i];
        if (c === "`") return this.copy(1);
        if (c === "\\") this.copy(2);
        else if (c === "{" || c === "}") this.brace("bare");
        else this.copy(1);
      }
      this.problem(start, "spec_shell", "the backtick is not closed");
    });
  }

  /** `$'…'` means different things to dash and bash once a backslash stands before a quote. */
  private ansiQuote(): void {
    const start = this.i;
    const close = this.text.indexOf("'", this.i + 2);
    if (close < 0) this.problem(start, "spec_shell", "the quote $' is not closed");
    if (close > 0 && this.text[close - 1] === "\\")
      this.problem(start, "spec_shell", "\\' inside $'…' means different things to different shells");
    const stop = close < 0 ? this.end : close + 1;
    while (this.i < stop) if (!(this.text[this.i] === "{" && this.refuseHere())) this.copy(1);
  }

  private comment(): void {
    const before = this.refusal;
    this.refusal = "a comment";
    while (this.i < this.end && this.text[this.i] !== "\n") {
      if (!(this.text[this.i] === "{" && this.refuseHere())) this.copy(1);
    }
    this.refusal = before;
  }

  /** `<<WORD`: remembers the document, whose body begins after the next newline. */
  private hereOperator(pending: HereDocument[]): void {
    const start = this.i;
    const match = /^<<(-?)[ \t]*((?:[^\s;&|<>()'"\\`]|\\.|'[^'\n]*'|"[^"\n]*")+)/.exec(
      this.text.slice(this.i, this.i + 1_000),
    );
    if (!match) {
      this.problem(start, "spec_shell", "<< needs a word that ends the here-document");
      return this.copy(2);
    }
    const raw = match[2] ?? "";
    if (/\{[A-Za-z_]/.test(raw))
      this.problem(start, "spec_reference", "the word that ends a here-document cannot be a reference");
    if (/[$`]/.test(raw)) this.problem(start, "spec_shell", "the word that ends a here-document must be plain");
    pending.push({ delimiter: raw.replaceAll(/['"\\]/g, ""), stripTabs: match[1] === "-", quoted: /['"\\]/.test(raw) });
    this.copy(match[0].length);
  }

  private hereDocument(document: HereDocument): void {
    const start = this.i;
    let line = start;
    let bodyEnd = this.end;
    let after = this.end;
    while (line < this.end) {
      const newline = this.text.indexOf("\n", line);
      const lineEnd = newline < 0 || newline > this.end ? this.end : newline;
      let content = this.text.slice(line, lineEnd);
      if (document.stripTabs) content = content.replace(/^\t+/, "");
      if (content === document.delimiter) {
        bodyEnd = line;
        after = lineEnd;
        break;
      }
      line = lineEnd + 1;
    }
    const body = this.text.slice(start, bodyEnd);
    if (!document.quoted && /(^|[^\\])(\\\\)*\\\n$/.test(body)) {
      this.problem(
        start,
        "spec_shell",
        `the line before ${document.delimiter} ends with a backslash: shells do not agree where it ends`,
      );
    }
    const outerEnd = this.end;
    this.end = bodyEnd;
    if (document.quoted) {
      this.within("a quoted here-document", () => {
        while (this.i < this.end) if (!(this.text[this.i] === "{" && this.refuseHere())) this.copy(1);
      });
    } else while (this.i < this.end) this.inDouble("here");
    this.end = outerEnd;
    // A problem inside may have read beyond the body; go on behind it in any case.
    if (this.i < after) this.copy(after - this.i);
  }

  /** A file name after < or > is not the program: read it here. */
  private skipRedirected(): void {
    while (this.i < this.end && /[<>&|]/.test(this.text[this.i] ?? "")) this.copy(1);
    if (this.text[this.i] === "(") return;
    while (this.i < this.end && /[ \t]/.test(this.text[this.i] ?? "")) this.copy(1);
    while (this.i < this.end && !/[\s;&|<>()]/.test(this.text[this.i] ?? "")) this.piece(this.text[this.i] as string);
  }

  /** The first command's `./x` is found beside the spec: the dot becomes the directory, quoted. */
  private programWord(): void {
    if (!this.text.startsWith("./", this.i)) {
      const word = /^[^\s;&|<>()'"\\`$]*/.exec(this.text.slice(this.i, this.i + 200))?.[0] ?? "";
      if (!ASSIGNMENT.test(word) && !OPENING_WORDS.has(word)) this.programSeen = true;
      return;
    }
    if (this.programSeen || this.refusal !== null) {
      this.result.notes.push({
        offset: this.i,
        message:
          "only the first command's ./ is found beside the file; this one is looked for in the task's own directory",
      });
      return;
    }
    this.programSeen = true;
    const word = /^[^\s;&|<>()]*/.exec(this.text.slice(this.i, this.i + 4_096))?.[0] ?? "";
    this.result.program = { offset: this.i, word, plain: /^[A-Za-z0-9_@%+:,./=-]+$/.test(word) };
    if (this.specDirectory === undefined) return;
    this.out.push(singleQuoted(this.specDirectory));
    this.i += 1;
  }

  /** A brace: half of a pair, a reference, or the shell's own. True when it quoted something. */
  private brace(quote: Quote): boolean {
    if (this.paired.has(this.i)) {
      this.out.push(this.text[this.i] as string);
      this.i += 2;
      return false;
    }
    const reference = this.text[this.i] === "{" ? referenceAt(this.text, this.i) : undefined;
    if (!reference || this.i + reference.length > this.end) {
      this.copy(1);
      return false;
    }
    this.reference(reference.name, reference.length, quote);
    return true;
  }

  private reference(name: string, length: number, quote: Quote): void {
    const offset = this.i;
    const resolution = this.scope.resolve(name);
    if (!isResolved(resolution)) this.problem(offset, "spec_reference", resolution.message, resolution.hint);
    else if (resolution.variable === null) {
      this.problem(
        offset,
        "spec_reference",
        `{${name}} may be several paths and cannot stand in shell text`,
        `use argv with "{${name}}" as an argument of its own`,
      );
    } else if (this.refusal !== null) this.refuse(offset, name, resolution.variable);
    else {
      const expansion = `\${${resolution.variable}}`;
      if (quote === "bare") this.out.push(`"${expansion}"`);
      else if (quote === "single") this.out.push(`'"${expansion}"'`);
      else this.out.push(expansion);
      this.i += length;
      return;
    }
    this.copy(length);
  }

  /** In texts that are not ours to read: a declared name is refused, everything else is left. True when it was read. */
  private refuseHere(): boolean {
    const reference = referenceAt(this.text, this.i);
    if (!reference || (this.text[this.i - 1] === "{" && this.text[this.i + reference.length] === "}")) return false;
    const resolution = this.scope.resolve(reference.name);
    if (!isResolved(resolution)) return false;
    this.refuse(this.i, reference.name, resolution.variable);
    this.copy(reference.length);
    return true;
  }

  private refuse(offset: number, name: string, variable: string | null): void {
    const instead = variable === null ? "use argv" : `use the environment variable ${variable}`;
    this.problem(offset, "spec_reference", `{${name}} cannot stand inside ${this.refusal}: ${instead}`);
  }

  private noteVariable(name: string): void {
    const resolution = this.scope.resolve(name);
    if (!isResolved(resolution) || this.noted.has(name)) return;
    this.noted.add(name);
    if (new RegExp(`\\b${name}=|\\b(?:for|read)\\s+${name}\\b`).test(this.text)) return;
    this.result.notes.push({
      offset: this.i,
      message: `\${${name}} is a variable of the shell's own; the value is {${name}}`,
    });
  }

  private within(reason: string, read: () => void): void {
    const before = this.refusal;
    this.refusal ??= reason;
    this.nested(this.i, read);
    this.refusal = before;
  }

  private nested(start: number, read: () => void): void {
    if (this.depth >= NESTING_MAX) {
      this.problem(start, "spec_shell", `more than ${NESTING_MAX} substitutions inside each other`);
      this.copy(this.end - this.i);
      return;
    }
    this.depth++;
    read();
    this.depth--;
  }

  private copy(length: number): void {
    const to = Math.min(this.i + length, this.end);
    this.out.push(this.text.slice(this.i, to));
    this.i = to;
  }

  private problem(offset: number, code: ShellProblem["code"], message: string, hint?: string): void {
    this.result.problems.push({ offset, code, message, ...(hint === undefined ? {} : { hint }) });
  }
}
