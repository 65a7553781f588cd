/**
 * Names that operators know from the guide and that nothing reads yet. A set one is told in a sentence, never ignored in
 * silence; where ignoring it would be unsafe the process refuses to start.
 */
import { AiravataError } from "../error/error.ts";

export interface UnsupportedVariable {
  /** What is done instead, as the end of "NAME is set but not used yet: …". */
  instead: string;
  /** Given the value: whether running without it would be less safe than was asked for. */
  unsafe?: (value: string) => boolean;
}

/** Sentences to log about set variables that are not used yet. Throws `setting_unsupported` for an unsafe one. */
export function unsupportedNotices(
  variables: Record<string, UnsupportedVariable>,
  env: Record<string, string | undefined>,
): string[] {
  const notices: string[] = [];
  for (const [name, variable] of Object.entries(variables)) {
    const value = env[name];
    if (value === undefined || value === "") continue;
    const sentence = `${name} is set but not used yet: ${variable.instead}`;
    if (variable.unsafe?.(value))
      throw new AiravataError("setting_unsupported", `${sentence}; unset it to start without`);
    notices.push(sentence);
  }
  return notices;
}
