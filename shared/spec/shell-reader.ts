/**
 * Reads shell text from left to right by the shell's rules of quoting and writes it out again with its references
 * compiled. What a list of commands is, the subclass knows; here are quotes, expansions and braces.
 */
import { SPEC_PROBLEMS_MAX } from "../model/constants.ts";
import { foreignReference, isResolved, pairedBraces, referenceAt, type Scope } from "./reference.ts";

export interface ShellProblem {
  offset: number;
  code: "spec_reference" | "spec_shell";
  message: string;
  hint?: string;
}

type Quote = "bare" | "double" | "single" | "here";

/** `${ … }` in a sentence. */
const PARAMETER_TEXT = "$\u007b … }";
/** Nested substitutions; a person needs three. */
const NESTING_MAX = 50;

export abstract class ShellReader {
  readonly problems: ShellProblem[] = [];
  readonly notes: { offset: number; message: string }[] = [];
  protected readonly text: string;
  protected readonly out: string[] = [];
  protected i = 0;
  /** End of what is read now: a here-document's body is read within its own. */
  protected end: number;
  /** Why a reference is refused where we are; null where it is compiled. */
  protected refusal: string | null = null;
  private readonly scope: Scope;
  private readonly paired: Set<number>;
  private readonly noted = new Set<string>();
  private depth = 0;

  constructor(text: string, scope: Scope) {
    this.text = text;
    this.end = text.length;
    this.scope = scope;
    this.paired = pairedBraces(text);
  }

  /** Commands up to and with the `)` of a substitution that began at `start`, or to the end of the text. */
  protected abstract commands(closer: ")" | null, start: number): void;

  /** One piece of a word outside quotes; true when it quotes or may be a value. */
  protected piece(): boolean {
    switch (this.text[this.i]) {
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
    const close = this.text.indexOf("'", this.i + 1);
    if (close < 0 || close >= this.end) this.problem(this.i, "spec_shell", "the single quote is not closed");
    const stop = close < 0 || close >= this.end ? this.end : close;
    this.copy(1);
    while (this.i < stop) {
      const c = this.text[this.i];
      if (c === "$") this.dollar("single");
      else if (c === "{" || c === "}") this.brace("single");
      else this.copy(1);
    }
    this.copy(1);
  }

  private double(): void {
    const start = this.i;
    this.copy(1);
    while (this.i < this.end && this.text[this.i] !== '"') this.inDouble("double");
    if (this.i >= this.end) this.problem(start, "spec_shell", "the double quote is not closed");
    this.copy(1);
  }

  /** One piece where only `$`, backtick and backslash are special: double quotes, here-documents. */
  protected inDouble(quote: "double" | "here"): void {
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
    const start = this.i;
    const next = this.text[this.i + 1];
    if (next === "{" && !this.paired.has(this.i + 1)) this.dollarBrace(quote);
    else if (quote === "single") this.copy(1);
    else if (this.text.startsWith("$((", this.i)) this.within("$(( … ))", () => this.arithmetic());
    else if (next === "(") {
      this.copy(2);
      this.nested(start, () => this.commands(")", start));
    } else if (next === "'" && quote === "bare") this.within("$'…'", () => this.ansiQuote());
    else this.copy(next !== undefined && /[@*#?$!0-9-]/.test(next) ? 2 : 1);
  }

  private dollarBrace(quote: Quote): void {
    const reference = referenceAt(this.text, this.i + 1);
    if (reference?.name.includes(".")) this.reference(reference.name, 1 + reference.length, quote);
    else if (quote === "single") this.copy(reference ? 1 + reference.length : 2);
    else {
      if (reference) this.noteVariable(reference.name);
      this.within(PARAMETER_TEXT, () => this.parameter(quote !== "bare"));
    }
  }

  /** `${ … }` with its own quoting rules. */
  private parameter(inDouble: boolean): void {
    const start = this.i;
    this.copy(2);
    // A pattern after # or % is quoted by single quotes also inside double quotes; a word after :- is not.
    const pattern = /^[A-Za-z_0-9@*#?$!-]+[#%/]/.test(this.text.slice(this.i, this.i + 300));
    while (this.i < this.end && this.text[this.i] !== "}") {
      const c = this.text[this.i];
      if (c === "{") this.verbatim();
      else if (c === "'" && (!inDouble || pattern)) this.single();
      else if (c === '"') this.double();
      else if (c === "\\") this.copy(2);
      else if (c === "`") this.backticks();
      else if (c === "$") this.dollar("double");
      else this.copy(1);
    }
    if (this.i >= this.end) this.problem(start, "spec_shell", "the brace after $ is not closed");
    this.copy(1);
  }

  private arithmetic(): void {
    const start = this.i;
    this.copy(3);
    let open = 2;
    while (this.i < this.end && open > 0) {
      const c = this.text[this.i];
      if (c === "$") this.dollar("double");
      else if (c !== undefined && "'\"`\\{}".includes(c)) this.piece();
      else {
        if (c === "(") open++;
        else if (c === ")") open--;
        this.copy(1);
      }
    }
    if (open > 0) this.problem(start, "spec_shell", "$(( is not closed");
  }

  private backticks(): void {
    const start = this.i;
    this.copy(1);
    this.within("backticks", () => {
      while (this.i < this.end && this.text[this.i] !== "`") {
        const c = this.text[this.i];
        if (c === "\\") this.copy(2);
        else if (c === "{" || c === "}") this.brace("bare");
        else this.copy(1);
      }
      if (this.i >= this.end) this.problem(start, "spec_shell", "the backtick is not closed");
      this.copy(1);
    });
  }

  /** `$'…'` means different things to dash and bash once a backslash stands before a quote. */
  private ansiQuote(): void {
    const start = this.i;
    const close = this.text.indexOf("'", this.i + 2);
    const closed = close >= 0 && close < this.end;
    if (!closed) this.problem(start, "spec_shell", "the quote $' is not closed");
    else if (this.text[close - 1] === "\\") {
      this.problem(start, "spec_shell", "\\' inside $'…' means different things to different shells", "use printf");
    }
    this.verbatimTo(closed ? close + 1 : this.end);
  }

  /** A brace outside texts of others: half of a pair, a reference, or the shell's own. True when it quoted something. */
  private brace(quote: Quote): boolean {
    if (this.paired.has(this.i)) {
      this.out.push(this.text[this.i] as string);
      this.i += 2;
      return false;
    }
    const reference = referenceAt(this.text, this.i);
    if (!reference || this.i + reference.length > this.end) {
      this.copy(1);
      return false;
    }
    this.reference(reference.name, reference.length, quote);
    return true;
  }

  private reference(name: string, length: number, quote: Quote): void {
    if (this.full) {
      this.copy(length);
      return;
    }
    const resolution = this.scope.resolve(name);
    const { variable } = isResolved(resolution) ? resolution : { variable: null };
    if (!isResolved(resolution)) this.problem(this.i, "spec_reference", resolution.message, resolution.hint);
    else if (variable === null) {
      const message = `{${name}} may be several paths and cannot stand in shell text`;
      this.problem(this.i, "spec_reference", message, `use argv with "{${name}}" as an argument of its own`);
    } else if (this.refusal !== null) this.refuse(name, variable);
    else {
      const expansion = `\${${variable}}`;
      // Single quotes are left for the expansion and entered again; outside quotes it brings its own.
      if (quote === "bare") this.out.push(`"${expansion}"`);
      else if (quote === "single") this.out.push(`'"${expansion}"'`);
      else this.out.push(expansion);
      this.i += length;
      return;
    }
    this.copy(length);
  }

  /** Text that is not ours to change: a declared name in braces is refused, everything else is left. */
  protected verbatimTo(stop: number): void {
    while (this.i < stop) this.verbatim();
  }

  private verbatim(): void {
    const reference = foreignReference(this.text, this.i);
    const found = reference && this.scope.find(reference.name);
    if (reference && found) {
      this.refuse(reference.name, found.variable);
      this.copy(reference.length);
    } else this.copy(1);
  }

  private refuse(name: string, variable: string | null): void {
    const instead = variable === null ? "use argv" : `use the environment variable ${variable}`;
    this.problem(this.i, "spec_reference", `{${name}} cannot stand inside ${this.refusal}: ${instead}`);
  }

  /** `${name}` of a declared name is most likely meant to be `{name}`, unless the text sets such a variable. */
  private noteVariable(name: string): void {
    if (this.noted.has(name) || !this.scope.find(name)) return;
    this.noted.add(name);
    if (new RegExp(`\\b${name}=|\\b(?:for|read)\\s+${name}\\b`).test(this.text)) return;
    this.notes.push({
      offset: this.i,
      message: `\${${name}} is a variable of the shell's own; the value is {${name}}`,
    });
  }

  /** Reads what stands inside something where references are refused. */
  protected within(reason: string, read: () => void): void {
    const before = this.refusal;
    this.refusal ??= reason;
    this.nested(this.i, read);
    this.refusal = before;
  }

  private nested(start: number, read: () => void): void {
    if (this.depth >= NESTING_MAX) {
      this.problem(start, "spec_shell", `more than ${NESTING_MAX} substitutions stand inside each other`);
      this.copy(this.end - this.i);
      return;
    }
    this.depth++;
    read();
    this.depth--;
  }

  private get full(): boolean {
    return this.problems.length >= SPEC_PROBLEMS_MAX;
  }

  protected copy(length: number): void {
    const to = Math.min(this.i + length, this.end);
    this.out.push(this.text.slice(this.i, to));
    this.i = to;
  }

  protected problem(offset: number, code: ShellProblem["code"], message: string, hint?: string): void {
    if (this.full) return;
    this.problems.push({ offset, code, message, ...(hint === undefined ? {} : { hint }) });
  }
}
