/** The configuration of a resource as it is typed: `--set key=value`, the same key again for a list. */
import type { Resource } from "../../../shared/api/resource.ts";
import { AiravataError } from "../../../shared/error/error.ts";

type Configuration = Resource["configuration"];

/** The present one with what is set and without what is unset. Throws `usage_invalid`. */
export function mergedConfiguration(
  present: Configuration,
  set: readonly string[] = [],
  unset: readonly string[] = [],
): Configuration {
  const given = new Map<string, Configuration[string]>();
  for (const word of set) {
    const [, key = "", text = ""] = /^([a-z][a-z0-9_]{0,62})=(.*)$/s.exec(word) ?? [];
    if (key === "") throw new AiravataError("usage_invalid", `--set is "${word}" but must be KEY=VALUE.`);
    const before = given.get(key);
    given.set(key, before === undefined ? typedValue(text) : [before, text].flat().map(String));
  }
  const kept = Object.entries(present).filter(([key]) => !unset.includes(key));
  return { ...Object.fromEntries(kept), ...Object.fromEntries(given) };
}

/** A number, yes or no, or a list where it is written as JSON has it; else text. */
function typedValue(text: string): Configuration[string] {
  if (!/^(true|false|-?\d{1,15}(\.\d{1,6})?|\[.*\])$/s.test(text)) return text;
  try {
    return JSON.parse(text) as Configuration[string];
  } catch {
    return text;
  }
}

export function configurationText({ configuration }: Pick<Resource, "configuration">): string {
  return Object.entries(configuration)
    .map(([key, value]) => `${key}=${[value].flat().join(",")}`)
    .join(" ");
}
