/**
 * The tree as the house rules see it: every file that is tracked or would be, with its text and its imports.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const ROOT = new URL("../../../", import.meta.url);

/** Paths from the root: tracked files and new ones that are not ignored. */
export const FILES: readonly string[] = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard"],
  {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  },
)
  .split("\n")
  .filter((path) => path !== "" && existsSync(new URL(path, ROOT)))
  .sort();

/** TypeScript sources, tests among them. */
export const SOURCES = FILES.filter((path) => path.endsWith(".ts"));

/** Whether a file is a test or exists for tests. */
export function isTest(path: string): boolean {
  return path.startsWith("test/");
}

export function read(path: string): string {
  return readFileSync(new URL(path, ROOT), "utf8");
}

export interface Import {
  from: string;
  /** A path from the root for our own files, else the package or `node:` module. */
  to: string;
  /** True: erased, so it binds nothing at run time. */
  typeOnly: boolean;
  /** Imported names; "*" for the whole module (namespace, re-export of everything, dynamic import). */
  names: string[];
}

const STATEMENT = /^\s*(import|export)\s+(type\s+)?([^"';]*?)\s*from\s*"([^"]+)"/gm;
const SIDE_EFFECT = /^\s*import\s+"([^"]+)"/gm;
const DYNAMIC = /(?:const\s+\{([^}]*)\}\s*=\s*await\s+)?\bimport\(\s*"([^"]+)"\s*\)/g;

/** Imports of a TypeScript file, in the forms that this project's formatter leaves. */
export function importsOf(path: string): Import[] {
  const text = withoutComments(read(path));
  const imports: Import[] = [];
  for (const [, , type, clause = "", target = ""] of text.matchAll(STATEMENT)) {
    const names = namesOf(clause);
    const typeOnly = type !== undefined || (names.length > 0 && /^\{(\s*type\s+\w+[^,]*,?)+\s*\}$/.test(clause.trim()));
    imports.push({ from: path, to: resolve(path, target), typeOnly, names });
  }
  for (const [, target = ""] of text.matchAll(SIDE_EFFECT)) {
    imports.push({ from: path, to: resolve(path, target), typeOnly: false, names: [] });
  }
  for (const [, clause, target = ""] of text.matchAll(DYNAMIC)) {
    const names = clause === undefined ? ["*"] : namesOf(`{${clause.replaceAll(":", " as ")}}`);
    imports.push({ from: path, to: resolve(path, target), typeOnly: false, names });
  }
  return imports;
}

/** The text with comments blanked, lines kept. Strings that look like comments (`"/*"`, URLs) are kept too. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/(?![*/\s])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (whole, kept: string | undefined) => kept ?? whole.replace(/[^\n]/g, " "),
  );
}

function namesOf(clause: string): string[] {
  const names: string[] = [];
  const braces = /\{([^}]*)\}/.exec(clause);
  if (braces) {
    for (const item of (braces[1] ?? "").split(",")) {
      const name = item
        .trim()
        .replace(/^type\s+/, "")
        .split(/\s+as\s+/)[0]
        ?.trim();
      if (name) names.push(name);
    }
  }
  const rest = clause
    .replace(/\{[^}]*\}/, "")
    .replace(/,/g, "")
    .trim();
  if (rest.startsWith("*")) names.push("*");
  else if (rest !== "") names.push("default");
  return names;
}

function resolve(from: string, target: string): string {
  return target.startsWith(".") ? normalize(join(dirname(from), target)) : target;
}
