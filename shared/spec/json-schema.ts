/** The experiment file as JSON Schema (2020-12), made from the schema table: for editors and for the OpenAPI document. */
import { type Key, type KeyTable, type Kind, NAME_PATTERNS, SPEC_SCHEMA } from "./schema.ts";

type JsonSchema = Record<string, unknown>;

/** JSON Schema of an experiment file. Looser than the parser where JSON Schema cannot say it (references, ranges). */
export function specJsonSchema(): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Airavata experiment file",
    ...objectSchema(SPEC_SCHEMA),
  };
}

function objectSchema(table: KeyTable): JsonSchema {
  const properties: JsonSchema = {};
  for (const [name, key] of Object.entries(table)) properties[name] = keySchema(key);
  const required = Object.entries(table).flatMap(([name, key]) => (key.required ? [name] : []));
  return { type: "object", properties, additionalProperties: false, ...(required.length > 0 ? { required } : {}) };
}

function keySchema(key: Key): JsonSchema {
  const note = key.unsupported ? " (not supported yet)" : key.silent ? `; when silent: ${key.silent}` : "";
  return { ...kindSchema(key.is), description: `${key.summary}${note}` };
}

function kindSchema(kind: Kind): JsonSchema {
  switch (kind.kind) {
    case "text":
      return { type: "string", maxLength: kind.charsMax, ...(kind.pattern ? { pattern: kind.pattern.source } : {}) };
    case "integer":
      return { type: "integer", minimum: kind.min, maximum: kind.max };
    case "number":
      return { type: "number", [kind.above ? "exclusiveMinimum" : "minimum"]: kind.min, maximum: kind.max };
    case "choice":
      return { type: "string", enum: [...kind.values] };
    case "value":
      return { type: ["string", "number", "boolean"] };
    case "duration":
      return { type: "string" };
    case "axis":
      return { anyOf: [{ type: "string" }, { type: "array", minItems: 1, items: kindSchema({ kind: "value" }) }] };
    case "list":
      return { type: "array", minItems: kind.min, maxItems: kind.max, items: kindSchema(kind.of) };
    case "map":
      return {
        type: "object",
        propertyNames: { pattern: NAME_PATTERNS[kind.keys].source },
        additionalProperties: kindSchema(kind.of),
        maxProperties: kind.max,
      };
    case "object":
      return objectSchema(kind.of);
    case "anything":
      return {};
  }
}
