/** Declared parameters: their values as text, of their type, from the file's defaults and what `-p` gives. */
import { PARAMETER_VALUE_BYTES_MAX } from "../model/constants.ts";
import { shown } from "./check.ts";
import type { FileNeeds } from "./files.ts";
import { nearestSlip } from "./nearest.ts";
import type { Problems, SpecPath } from "./problem.ts";
import { parameterVariable } from "./reference.ts";
import type { ParameterFile } from "./schema.ts";

type ParameterType = NonNullable<ParameterFile["type"]>;

const FLOAT = /^[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?$/;
const INT64_MAX = 2n ** 63n;

/** Values of all declared parameters by name. Overrides that are undeclared or of another type are problems. */
export function parameterValues(
  declared: Map<string, ParameterFile>,
  overrides: Readonly<Record<string, string>>,
  files: FileNeeds,
  problems: Problems,
): Record<string, string> {
  for (const name of Object.keys(overrides)) {
    if (declared.has(name) || problems.full) continue;
    const near = nearestSlip(name, declared.keys());
    const hint = near ? `did you mean ${near}?` : `declared: ${[...declared.keys()].join(", ") || "none"}`;
    problems.add(["parameters"], "spec_parameter", `-p ${name.slice(0, 60)}: no parameter of this name is declared`, {
      hint,
    });
  }
  const values: Record<string, string> = {};
  for (const [name, parameter] of declared) {
    const path: SpecPath = ["parameters", name];
    if (parameter === undefined) continue;
    const type = parameter.type ?? "string";
    const given = Object.hasOwn(overrides, name) ? overrides[name] : undefined;
    const text = given ?? parameter.default;
    if (text === undefined) {
      if (!problems.touches(path))
        problems.add(path, "spec_missing", `the parameter ${name} has no value`, {
          hint: `give it a default, or -p ${name}=…`,
        });
      continue;
    }
    const at: SpecPath = given === undefined ? [...path, "default"] : path;
    const value = typedValue(type, text);
    if (typeof value !== "string") {
      const source = given === undefined ? "the default" : `-p ${name}:`;
      problems.add(at, "spec_parameter", `${source} ${shown(text)} is not ${value.expected}`);
      continue;
    }
    const resolved = type === "path" ? files.besideSpec(value, `the parameter ${name}`, at) : value;
    if (resolved === undefined) continue;
    checkValueSize(name, resolved, at, problems);
    values[name] = resolved;
  }
  return values;
}

/** Refuses a value whose environment string would be longer than execve allows. */
export function checkValueSize(name: string, value: string, path: SpecPath, problems: Problems): void {
  const bytes = environmentBytes(parameterVariable(name), value);
  if (bytes > PARAMETER_VALUE_BYTES_MAX) {
    problems.add(
      path,
      "spec_too_large",
      `the value has ${bytes} bytes as a variable; the limit is ${PARAMETER_VALUE_BYTES_MAX}`,
      { hint: "pass large data as a file" },
    );
  }
}

/** Bytes of `NAME=value`, without its end. */
export function environmentBytes(variable: string, value: string): number {
  return variable.length + 1 + byteLength(value);
}

/** Bytes of a text as UTF-8. */
export function byteLength(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

function typedValue(type: ParameterType, text: string): string | { expected: string } {
  if (text.includes("\0")) return { expected: "a value without NUL characters" };
  if (!text.isWellFormed()) return { expected: "a text: it holds half a surrogate pair" };
  switch (type) {
    case "int": {
      if (!/^[+-]?\d{1,40}$/.test(text)) return { expected: "a whole number (type int)" };
      const value = BigInt(text.replace("+", ""));
      return value < INT64_MAX && value >= -INT64_MAX
        ? String(value)
        : { expected: "a whole number of 64 bits (type int)" };
    }
    case "float":
      return FLOAT.test(text) ? text : { expected: "a number (type float)" };
    case "bool":
      return text === "true" || text === "false" ? text : { expected: "true or false (type bool)" };
    case "path":
      return text === "" ? { expected: "a path: it is empty" } : text;
    case "string":
      return text;
  }
}
