/**
 * Names that operators know from the guide and that nothing reads yet. A set one is told in a sentence, never ignored in
 * silence.
 */
export interface UnsupportedVariable {
  /** What is done instead, as the end of "NAME is set but not used yet: …". */
  instead: string;
}

/** Sentences to log about set variables that are not used yet. */
export function unsupportedNotices(
  variables: Record<string, UnsupportedVariable>,
  env: Record<string, string | undefined>,
): string[] {
  const notices: string[] = [];
  for (const [name, variable] of Object.entries(variables)) {
    const value = env[name];
    if (value === undefined || value === "") continue;
    notices.push(`${name} is set but not used yet: ${variable.instead}`);
  }
  return notices;
}
