/**
 * Checks a located tree against the schema table and gives its values back typed. What is wrong is added to the problems
 * and left out of the result, so that the rest is still checked.
 */
import type { Located } from "./document.ts";
import { parseDuration } from "./duration.ts";
import { nearest, nearestSlip } from "./nearest.ts";
import type { Problems, SpecPath } from "./problem.ts";
import {
  AXIS_VALUES_MAX,
  type Checked,
  type CheckedObject,
  type Key,
  type KeyTable,
  type Kind,
  NAME_PATTERNS,
  SPEC_SCHEMA,
  type SpecFile,
} from "./schema.ts";

const KEY_RULES = {
  name: "a name has letters, digits, _ and -, at most 63, and begins with a letter or _",
  variable: "a variable has letters, digits and _, begins with no digit and not with AIRAVATA_",
  label: "it has letters, digits, _, ., / and -, at most 63",
} as const;

/** The file as typed values; parts with problems are missing. */
export function checkSpec(root: Located, problems: Problems): SpecFile {
  return checkObject(SPEC_SCHEMA, root, [], problems) ?? {};
}

function checkObject<T extends KeyTable>(
  table: T,
  node: Located,
  path: SpecPath,
  problems: Problems,
): CheckedObject<T> | undefined {
  if (node.kind !== "map") {
    problems.add(path, "spec_type", `${found(node)} stands where a map with ${listKeys(table)} is needed`);
    return undefined;
  }
  const result: Record<string, unknown> = {};
  for (const [name, entry] of node.entries) {
    const here = [...path, name];
    if (!Object.hasOwn(table, name)) {
      unknownKey(name, table, here, problems);
      continue;
    }
    const key = table[name] as Key;
    if (isSilent(entry.node) && key.is.kind !== "anything") continue;
    if (key.unsupported !== undefined && !isEmpty(entry.node, key.is)) {
      problems.add(here, "spec_not_supported", key.unsupported);
      continue;
    }
    result[name] = checkKind(key.is, entry.node, here, problems);
  }
  for (const [name, key] of Object.entries(table)) {
    if (key.required && result[name] === undefined && !problems.touches([...path, name])) {
      problems.add(path, "spec_missing", `${name} is missing: ${key.summary}`);
    }
  }
  return result as CheckedObject<T>;
}

function checkKind(kind: Kind, node: Located, path: SpecPath, problems: Problems): unknown {
  switch (kind.kind) {
    case "object":
      return checkObject(kind.of, node, path, problems);
    case "map":
      return checkMap(kind, node, path, problems);
    case "list":
      return checkList(kind, node, path, problems);
    case "axis":
      if (node.kind === "list")
        return checkList({ kind: "list", of: { kind: "value" }, min: 1, max: AXIS_VALUES_MAX }, node, path, problems);
      return checkKind({ kind: "value" }, node, path, problems);
    case "anything":
      return undefined;
    default:
      return checkScalar(kind, node, path, problems);
  }
}

type ScalarKind = Exclude<Kind, { kind: "object" | "map" | "list" | "axis" | "anything" }>;

function checkScalar(kind: ScalarKind, node: Located, path: SpecPath, problems: Problems): unknown {
  if (node.kind !== "scalar" || node.value === null) {
    problems.add(path, "spec_type", `${found(node)} stands where ${expectation(kind)} is needed`);
    return undefined;
  }
  if (node.text.includes("\0")) return refuse("spec_value", "a NUL character cannot be given to a program");
  if (!node.text.isWellFormed()) return refuse("spec_value", "half a surrogate pair is no character");
  const { value } = node;
  switch (kind.kind) {
    case "integer":
    case "number": {
      if (typeof value !== "number" || (kind.kind === "integer" && !Number.isInteger(value))) {
        return refuse("spec_type", `${shownNode(node)} is not ${expectation(kind)}`);
      }
      const low = kind.kind === "number" && kind.above ? value <= kind.min : value < kind.min;
      if (Number.isNaN(value) || low || value > kind.max)
        return refuse("spec_value", `${shownNode(node)} is not ${expectation(kind)}`);
      return value;
    }
    case "choice": {
      if (kind.values.includes(node.text)) return node.text;
      return refuse(
        "spec_value",
        `${shownNode(node)} is not one of ${kind.values.join(", ")}`,
        suggestion(node.text, kind.values),
      );
    }
    case "duration": {
      if (typeof value !== "string")
        return refuse("spec_type", `${shownNode(node)} has no unit; write ${node.text}s, ${node.text}m or 0:30:00`);
      const seconds = parseDuration(value);
      return typeof seconds === "number" ? seconds : refuse("spec_value", seconds.message);
    }
    case "text": {
      if (typeof value !== "string" && kind.pattern === undefined)
        return refuse("spec_type", `${shownNode(node)} is not a text; put it in quotes`);
      if (node.text.length > kind.charsMax)
        return refuse("spec_too_large", `the text has ${node.text.length} characters; the limit is ${kind.charsMax}`);
      if (kind.pattern && !kind.pattern.test(node.text))
        return refuse("spec_value", `${shownNode(node)} is not ${kind.expects}`);
      return node.text;
    }
    case "value":
      return node.text;
  }
  function refuse(code: "spec_type" | "spec_value" | "spec_too_large", message: string, hint?: string): undefined {
    problems.add(path, code, message, hint === undefined ? {} : { hint });
    return undefined;
  }
}

function checkList(kind: Kind & { kind: "list" }, node: Located, path: SpecPath, problems: Problems): unknown {
  if (node.kind !== "list") {
    const hint = node.kind === "scalar" && node.text.length < 100 ? { hint: `write [${node.text}]` } : {};
    problems.add(path, "spec_type", `${found(node)} stands where a list is needed`, hint);
    return undefined;
  }
  if (node.items.length < kind.min) problems.add(path, "spec_value", "the list is empty");
  if (node.items.length > kind.max) {
    problems.add(path, "spec_too_large", `the list has ${node.items.length} entries; the limit is ${kind.max}`);
    return undefined;
  }
  const items = node.items.map((item, index) => checkKind(kind.of, item, [...path, index], problems));
  return items.filter((item) => item !== undefined);
}

function checkMap(kind: Kind & { kind: "map" }, node: Located, path: SpecPath, problems: Problems): unknown {
  if (node.kind !== "map") {
    problems.add(path, "spec_type", `${found(node)} stands where a map from names is needed`);
    return undefined;
  }
  if (node.entries.size > kind.max) {
    problems.add(path, "spec_too_large", `${node.entries.size} entries stand here; the limit is ${kind.max}`);
    return undefined;
  }
  const result = new Map<string, Checked<Kind>>();
  for (const [name, entry] of node.entries) {
    const here = [...path, name];
    if (!NAME_PATTERNS[kind.keys].test(name))
      problems.add(here, "spec_name", `${shown(name)} cannot be a name here: ${KEY_RULES[kind.keys]}`);
    const value = checkKind(kind.of, entry.node, here, problems);
    // A part with problems keeps its name, so that what refers to it is not called unknown.
    result.set(name, value as Checked<Kind>);
  }
  return result;
}

function unknownKey(name: string, table: KeyTable, path: SpecPath, problems: Problems): void {
  if (problems.full) return;
  const home = name === "<<" ? undefined : homes.get(name);
  const known = nearest(name, Object.keys(table));
  const meant = nearestSlip(name, Object.keys(table));
  // Whoever wrote the key did not forget the one that was meant.
  if (meant !== undefined) problems.damage([...path.slice(0, -1), meant]);
  const hint = home && known?.toLowerCase() !== name.toLowerCase() ? `${name} belongs under ${home}` : undefined;
  const merge = name === "<<" ? "merge keys are not supported: use an alias for a whole value" : undefined;
  problems.add(path, "spec_unknown_key", `unknown key ${shown(name)}; the nearest known key is ${known}`, {
    hint: merge ?? hint ?? `known here: ${Object.keys(table).join(", ")}`,
  });
}

/** Where a key that stands in the wrong place belongs: the first table that has it. */
const homes = new Map<string, string>();
function collectHomes(table: KeyTable, place: string): void {
  for (const [name, key] of Object.entries(table)) {
    if (place !== "" && !homes.has(name)) homes.set(name, place);
    const inner = key.is.kind === "map" || key.is.kind === "list" ? key.is.of : key.is;
    const middle = key.is.kind === "map" ? ".<name>" : "";
    if (inner.kind === "object") collectHomes(inner.of, `${place === "" ? "" : `${place}.`}${name}${middle}`);
  }
}
collectHomes(SPEC_SCHEMA, "");

function isSilent(node: Located): boolean {
  return node.kind === "scalar" && node.value === null;
}

/** Empty, or the one amount that asks for nothing special. */
function isEmpty(node: Located, kind: Kind): boolean {
  if (node.kind === "list") return node.items.length === 0;
  if (node.kind === "map") return node.entries.size === 0;
  return (
    node.value === null || node.value === "" || node.value === false || (kind.kind === "integer" && node.value === 1)
  );
}

function suggestion(text: string, known: readonly string[]): string | undefined {
  const name = nearestSlip(text, known);
  return name === undefined ? undefined : `did you mean ${name}?`;
}

function listKeys(table: KeyTable): string {
  return Object.keys(table).slice(0, 4).join(", ");
}

function expectation(kind: ScalarKind): string {
  switch (kind.kind) {
    case "integer":
      if (kind.expects !== undefined) return kind.expects;
      return `a whole number from ${kind.min} to ${kind.max}`;
    case "number":
      return `a number ${kind.above ? "above" : "from"} ${kind.min} ${kind.above ? "up " : ""}to ${kind.max}`;
    case "choice":
      return `one of ${kind.values.join(", ")}`;
    case "duration":
      return "a time such as 0:30:00 or 30m";
    case "text":
      return kind.expects ?? "a text";
    case "value":
      return "a text or number";
  }
}

function found(node: Located): string {
  if (node.kind === "list") return "a list";
  if (node.kind === "map") return "a map";
  return node.value === null ? "nothing" : shownNode(node);
}

/** Texts in quotes, numbers as they are. */
function shownNode(node: Located & { kind: "scalar" }): string {
  return typeof node.value === "string" ? shown(node.text) : node.text.slice(0, 60);
}

/** User text in a message: quoted, control characters escaped, cut. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
