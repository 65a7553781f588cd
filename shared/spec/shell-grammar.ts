/**
 * As much of the shell's grammar as is needed to know, word by word, where a command begins, which bracket closes a
 * substitution, and where a shell would evaluate a word instead of taking it as text.
 */

/** `$( … )` ends at its own bracket; `case` patterns and subshells have brackets too. */
type Frame = { kind: "paren"; arithmetic: boolean } | { kind: "case"; state: "subject" | "in" | "pattern" | "body" };

/** After these the next word is a command again. */
const OPENING_WORDS = new Set(["if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"]);
const ASSIGNMENT = /^[A-Za-z_][A-Za-z0-9_]*\+?=/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Whether a word at a command's place leaves the program's name to a later word. */
export function precedesProgram(word: string): boolean {
  return OPENING_WORDS.has(word) || ASSIGNMENT.test(word);
}

/** One list of commands: the whole text, or what stands inside `$( … )`. */
export class CommandList {
  private readonly frames: Frame[] = [];
  /** The current word as written; null between words. */
  private word: string | null = null;
  private quoted = false;
  /** Whether the next word may be a keyword, and whether it may be a program. */
  private reserved = true;
  private program = true;
  private inTest = false;
  private arithmetic = 0;
  /** Looked for at a word's first bracket only, so that a word of brackets costs nothing. */
  private subscript: "unseen" | "open" | "closed" = "unseen";

  get betweenWords(): boolean {
    return this.word === null;
  }

  /** Where a reference would be evaluated by some shell, and by what; null where a word is only text. */
  get evaluation(): string | null {
    if (this.inTest) return "[[ … ]]";
    if (this.arithmetic > 0) return "(( … ))";
    return this.subscript === "open" ? "the brackets of name[…]" : null;
  }

  /** Whether a word that begins here names a program. */
  get atProgram(): boolean {
    const frame = this.frames.at(-1);
    return this.program && this.word === null && (frame?.kind !== "case" || frame.state === "body");
  }

  newCommand(): void {
    this.reserved = true;
    this.program = true;
  }

  /** A character that the current word is about to get. */
  beforePiece(char: string): void {
    if (char === "[" && this.subscript === "unseen") {
      this.subscript = this.program && NAME.test(this.word ?? "") ? "open" : "closed";
    } else if (char === "]") this.subscript = "closed";
  }

  afterPiece(raw: string, quotes: boolean): void {
    this.word = (this.word ?? "") + raw;
    this.quoted ||= quotes;
  }

  /** A redirection ends a word, unless that is its number. */
  redirect(): void {
    if (this.word !== null && /^\d{1,10}$/.test(this.word)) this.word = null;
    else this.endWord();
  }

  endWord(): void {
    if (this.word === null) return;
    const word = this.word;
    this.word = null;
    this.subscript = "unseen";
    const plain = this.quoted ? "" : word;
    this.quoted = false;
    const wasReserved = this.reserved;
    this.reserved = false;
    if (this.inTest) this.inTest = plain !== "]]";
    else if (this.inCaseHead(plain)) return;
    else if (wasReserved && OPENING_WORDS.has(plain)) this.newCommand();
    else if (wasReserved && plain === "case") this.frames.push({ kind: "case", state: "subject" });
    else if (wasReserved && plain === "esac" && this.frames.at(-1)?.kind === "case") this.frames.pop();
    else if (wasReserved && plain === "[[") this.inTest = true;
    else if (!ASSIGNMENT.test(word)) this.program = false;
  }

  /** Words between `case` and the `)` of a pattern. */
  private inCaseHead(plain: string): boolean {
    const frame = this.frames.at(-1);
    if (frame?.kind !== "case" || frame.state === "body") return false;
    if (frame.state === "subject") frame.state = "in";
    else if (frame.state === "in" && plain === "in") frame.state = "pattern";
    else if (frame.state === "pattern" && plain === "esac") this.frames.pop();
    return true;
  }

  /** `;;` and its kin, after which a `case` has its next pattern. */
  endBranch(): void {
    const frame = this.frames.at(-1);
    if (frame?.kind === "case" && frame.state === "body") frame.state = "pattern";
  }

  openParen(isDouble: boolean): void {
    this.endWord();
    const frame = this.frames.at(-1);
    if (frame?.kind === "case" && frame.state === "pattern") return;
    this.frames.push({ kind: "paren", arithmetic: isDouble });
    if (isDouble) this.arithmetic++;
    this.newCommand();
  }

  /** True when this bracket is not one of the list's own and so ends it. */
  closeParen(): boolean {
    this.endWord();
    const frame = this.frames.at(-1);
    if (!frame) return true;
    if (frame.kind === "case" && frame.state === "pattern") frame.state = "body";
    else if (frame.kind === "paren") {
      this.frames.pop();
      if (frame.arithmetic) this.arithmetic--;
    }
    this.newCommand();
    return false;
  }
}
