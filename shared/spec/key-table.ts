/** The key table of docs/experiment-file.md, made from the schema; a test compares. */
import { type Key, type KeyTable, type Kind, SPEC_SCHEMA } from "./schema.ts";

/** Markdown rows of every key, in the order of the schema: key, value, when silent, meaning. Exported for tests that compare it with the docs. */
export function keyTable(): string {
  const rows = ["| key | value | when silent | meaning |", "|---|---|---|---|"];
  const seen = new Map<KeyTable, string>();
  const add = (table: KeyTable, prefix: string): void => {
    for (const [name, key] of Object.entries(table)) {
      const path = `${prefix}${name}`;
      const inner = innerTable(key.is);
      const first = inner && seen.get(inner);
      rows.push(row(path, key, first));
      if (!inner || first !== undefined) continue;
      seen.set(inner, path);
      add(inner, key.is.kind === "map" ? `${path}.<name>.` : `${path}.`);
    }
  };
  add(SPEC_SCHEMA, "");
  return rows.join("\n");
}

function row(path: string, key: Key, like: string | undefined): string {
  const silent = key.required ? "must be there" : (key.silent ?? "");
  const meaning = key.unsupported ? `${key.summary} (not supported yet)` : key.summary;
  const cells = [`\`${path}\``, like ? `as \`${like}\`` : describe(key.is), silent, meaning];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function innerTable(kind: Kind): KeyTable | undefined {
  if (kind.kind === "object") return kind.of;
  return kind.kind === "map" || kind.kind === "list" ? innerTable(kind.of) : undefined;
}

function describe(kind: Kind): string {
  switch (kind.kind) {
    case "text":
      return kind.expects ?? "text";
    case "integer":
      return kind.min === kind.max ? String(kind.min) : `whole number, ${kind.min} to ${kind.max}`;
    case "number":
      return `number, ${kind.above ? "above" : "from"} ${kind.min}`;
    case "choice":
      return kind.values.map((value) => `\`${value}\``).join(", ");
    case "value":
      return "text or number";
    case "duration":
      return "time";
    case "axis":
      return "list, `a..b` or `a..b..step`";
    case "list":
      return `list of: ${describe(kind.of)}`;
    case "map":
      return kind.of.kind === "object" ? "map by name" : `map by name of: ${describe(kind.of)}`;
    case "object":
      return "map";
    case "anything":
      return "–";
  }
}
