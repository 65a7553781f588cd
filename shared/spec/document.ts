/**
 * Reads an experiment file, YAML text or an object, into one tree of located nodes. Input is hostile: bytes, lexical
 * pieces, aliases, expanded nodes and depth are bounded before anything walks the tree; scalars keep the text as written,
 * so that `0.10` stays `0.10`.
 */
import { Composer, isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, type Node, Parser, type Scalar } from "yaml";
import {
  SPEC_ALIASES_MAX,
  SPEC_BYTES_MAX,
  SPEC_DEPTH_MAX,
  SPEC_LEXEMES_MAX,
  SPEC_NODES_MAX,
} from "../model/constants.ts";
import { type Position, Problems, type SpecPath } from "./problem.ts";

export type Located =
  | {
      kind: "scalar";
      value: string | number | boolean | null;
      /** As written: the source of a plain number, the content of a string. */
      text: string;
      at: Position;
      /** Place of a character of a text; best for block texts and one-line scalars, else the scalar's own place. */
      placeOf(offset: number): Position;
    }
  | { kind: "list"; items: Located[]; at: Position }
  | { kind: "map"; entries: Map<string, { keyAt: Position; node: Located }>; at: Position };

/** Syntax errors reported before the composer is stopped: a flood of them costs 10 µs each. */
const SYNTAX_ERRORS_MAX = 20;
const NOWHERE: Position = { line: null, column: null };
/** Keys that mean something to JavaScript objects; no name needs them. */
const POISON_KEYS = new Set(["__proto__", "constructor", "prototype"]);

class Stop extends Error {}

/** Reads YAML text; throws SpecError with every syntax problem. */
export function readYaml(text: string): Located {
  const problems = new Problems(() => ({ line: 1, column: 1 }));
  const refuse = (message: string): never => {
    problems.add([], "spec_too_large", message);
    problems.throwIfAny();
    throw new Error("unreachable");
  };
  const bytes = Buffer.byteLength(text, "utf8");
  if (bytes > SPEC_BYTES_MAX) refuse(`the file has ${bytes} bytes; the limit is ${SPEC_BYTES_MAX}`);
  let lexemes = 0;
  for (const _ of new Lexer().lex(text)) {
    if (++lexemes > SPEC_LEXEMES_MAX) refuse(`the file has more than ${SPEC_LEXEMES_MAX} lexical pieces`);
  }

  const lines = new LineCounter();
  const place = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const composer = new Composer({ uniqueKeys: false, lineCounter: lines, prettyErrors: false, merge: false });
  let errors = 0;
  // The composer's own handler gathers without bound; here every error is a problem with its place, and a flood ends it.
  // biome-ignore lint/complexity/useLiteralKeys: a private member is reached only so.
  composer["onError"] = (source: number | readonly number[] | { offset: number }, _code: string, message: string) => {
    const offset = typeof source === "number" ? source : "offset" in source ? source.offset : (source[0] ?? 0);
    problems.add([], /nest/i.test(message) ? "spec_too_large" : "spec_syntax", sentence(message), {
      at: place(offset),
    });
    if (++errors >= SYNTAX_ERRORS_MAX) throw new Stop();
  };
  let contents: Node | null = null;
  try {
    const parser = new Parser(lines.addNewLine);
    let documents = 0;
    for (const document of composer.compose(parser.parse(text), true, text.length)) {
      for (const error of document.errors.slice(0, SYNTAX_ERRORS_MAX)) {
        problems.add([], "spec_syntax", sentence(error.message), { at: place(error.pos[0]) });
      }
      if (documents++ === 0) contents = document.contents;
      else
        problems.add([], "spec_syntax", "the file holds several YAML documents; one is needed", {
          at: place(document.range[0]),
        });
      if (documents > 1) break;
    }
  } catch (error) {
    if (error instanceof RangeError) refuse("the file is nested too deeply");
    if (!(error instanceof Stop)) throw error;
  }
  problems.throwIfAny();
  const tree = new TreeBuilder(text, place, problems).build(contents);
  problems.throwIfAny();
  return tree;
}

function sentence(message: string): string {
  return (message.split(" at line ")[0] ?? message).replaceAll(/\s+/g, " ").slice(0, 200);
}

/** Turns YAML nodes into the tree, aliases expanded within a budget. */
class TreeBuilder {
  private readonly anchors = new Map<string, Node>();
  private readonly open = new Set<Node>();
  private nodes = 0;
  private aliases = 0;
  private readonly text: string;
  private readonly place: (offset: number) => Position;
  private readonly problems: Problems;

  constructor(text: string, place: (offset: number) => Position, problems: Problems) {
    this.text = text;
    this.place = place;
    this.problems = problems;
  }

  build(node: Node | null): Located {
    return this.convert(node, 0, NOWHERE);
  }

  private convert(node: Node | null | undefined, depth: number, fallback: Position): Located {
    const at = node?.range ? this.place(node.range[0]) : fallback;
    if (++this.nodes > SPEC_NODES_MAX)
      this.refuse(at, `the file has more than ${SPEC_NODES_MAX} values with its aliases expanded`);
    if (depth > SPEC_DEPTH_MAX) this.refuse(at, `the file is nested more than ${SPEC_DEPTH_MAX} deep`);
    if (!node) return scalar(null, "", at);
    if (isAlias(node)) return this.alias(node.source, depth, at);
    if (node.anchor) this.anchors.set(node.anchor, node);
    if (node.tag && !node.tag.startsWith("tag:yaml.org,2002:")) {
      this.problems.add([], "spec_syntax", `the tag ${node.tag.slice(0, 40)} is not known`, { at });
    }
    if (isScalar(node)) return this.scalar(node, at);
    this.open.add(node);
    try {
      if (isSeq<Node>(node))
        return { kind: "list", at, items: node.items.map((item) => this.convert(item, depth + 1, at)) };
      if (isMap<Node, Node>(node)) return this.map(node, depth, at);
    } finally {
      this.open.delete(node);
    }
    return scalar(null, "", at);
  }

  private map(node: { items: { key: Node; value: Node | null }[] }, depth: number, at: Position): Located {
    const entries = new Map<string, { keyAt: Position; node: Located }>();
    for (const pair of node.items) {
      const key = this.convert(pair.key, depth + 1, at);
      if (key.kind !== "scalar") {
        this.problems.add([], "spec_syntax", "a key must be a plain word", { at: key.at });
        continue;
      }
      const value = this.convert(pair.value, depth + 1, key.at);
      addEntry(entries, key.text, key.at, value, this.problems);
    }
    return { kind: "map", at, entries };
  }

  private alias(name: string, depth: number, at: Position): Located {
    if (++this.aliases > SPEC_ALIASES_MAX) this.refuse(at, `the file has more than ${SPEC_ALIASES_MAX} aliases`);
    const target = this.anchors.get(name);
    if (!target || this.open.has(target)) {
      const why = target ? "stands inside what it names" : "has no anchor before it";
      this.problems.add([], "spec_syntax", `the alias *${name.slice(0, 40)} ${why}`, { at });
      return scalar(null, "", at);
    }
    return this.convert(target, depth, at);
  }

  private scalar(node: Scalar, at: Position): Located {
    const { value } = node;
    if (value === null || typeof value === "boolean") return scalar(value, node.source ?? String(value), at);
    if (typeof value === "number" || typeof value === "bigint")
      return scalar(Number(value), node.source ?? String(value), at);
    if (typeof value !== "string") return scalar(null, "", at);
    const start = node.range?.[0] ?? 0;
    return { ...scalar(value, value, at), placeOf: (offset) => this.placeInside(node, value, start, at, offset) };
  }

  private placeInside(node: Scalar, value: string, start: number, at: Position, offset: number): Position {
    const before = value.slice(0, offset);
    if (node.type === "BLOCK_LITERAL") {
      const header = this.text.indexOf("\n", start) + 1;
      const indent = /^(?:[ \t]*\r?\n)*( *)/.exec(this.text.slice(header, header + 10_000))?.[1]?.length ?? 0;
      const line = before.split("\n").length;
      const first = this.place(header).line ?? 1;
      return { line: first + line - 1, column: indent + offset - (before.lastIndexOf("\n") + 1) + 1 };
    }
    const quote = this.text[start] === '"' || this.text[start] === "'" ? 1 : 0;
    const onOneLine = this.text.startsWith(value, start + quote);
    return onOneLine && at.column !== null ? { line: at.line, column: at.column + quote + offset } : at;
  }

  private refuse(at: Position, message: string): never {
    this.problems.add([], "spec_too_large", message, { at });
    this.problems.throwIfAny();
    throw new Error("unreachable");
  }
}

function scalar(value: string | number | boolean | null, text: string, at: Position): Located & { kind: "scalar" } {
  return { kind: "scalar", value, text, at, placeOf: () => at };
}

function addEntry(
  entries: Map<string, { keyAt: Position; node: Located }>,
  key: string,
  keyAt: Position,
  node: Located,
  problems: Problems,
): void {
  if (POISON_KEYS.has(key)) problems.add([], "spec_name", `the key ${key} cannot be used`, { at: keyAt });
  else if (entries.has(key))
    problems.add([], "spec_syntax", `the key ${JSON.stringify(key.slice(0, 80))} stands twice`, { at: keyAt });
  else entries.set(key, { keyAt, node });
}

/** Reads a spec that came as an object (JSON); the same bounds, no places. */
export function readObject(source: unknown): Located {
  const problems = new Problems(() => NOWHERE);
  let nodes = 0;
  let characters = 0;
  const refuse = (message: string): never => {
    problems.add([], "spec_too_large", message);
    problems.throwIfAny();
    throw new Error("unreachable");
  };
  const weigh = (text: string): string => {
    characters += text.length;
    if (characters > SPEC_BYTES_MAX) refuse(`the spec has more than ${SPEC_BYTES_MAX} characters`);
    return text;
  };
  const convert = (value: unknown, depth: number): Located => {
    if (++nodes > SPEC_NODES_MAX) refuse(`the spec has more than ${SPEC_NODES_MAX} values`);
    if (depth > SPEC_DEPTH_MAX) refuse(`the spec is nested more than ${SPEC_DEPTH_MAX} deep`);
    if (value === null || value === undefined) return scalar(null, "", NOWHERE);
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      return scalar(value, weigh(String(value)), NOWHERE);
    }
    if (Array.isArray(value))
      return { kind: "list", at: NOWHERE, items: value.map((item) => convert(item, depth + 1)) };
    const entries = new Map<string, { keyAt: Position; node: Located }>();
    if (typeof value !== "object") problems.add([], "spec_type", `a ${typeof value} cannot stand in a spec`);
    else {
      for (const [key, item] of Object.entries(value))
        addEntry(entries, weigh(key), NOWHERE, convert(item, depth + 1), problems);
    }
    return { kind: "map", at: NOWHERE, entries };
  };
  const tree = convert(source, 0);
  problems.throwIfAny();
  return tree;
}

/** The place of a path in the tree: of the key where one leads there, else of the nearest parent. */
export function locatePath(root: Located, path: SpecPath): Position {
  let node: Located = root;
  let at = root.at;
  for (const step of path) {
    if (node.kind === "map" && typeof step === "string") {
      const entry = node.entries.get(step);
      if (!entry) return at;
      at = entry.keyAt;
      node = entry.node;
    } else if (node.kind === "list" && typeof step === "number") {
      const item: Located | undefined = node.items[step];
      if (!item) return at;
      node = item;
      at = item.at;
    } else return at;
  }
  return at;
}

/** The node at a path, if the tree has one. */
export function nodeAt(root: Located, path: SpecPath): Located | undefined {
  let node: Located | undefined = root;
  for (const step of path) {
    if (node?.kind === "map") node = node.entries.get(String(step))?.node;
    else if (node?.kind === "list") node = node.items[Number(step)];
    else return undefined;
  }
  return node;
}
