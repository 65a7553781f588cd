// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/**
 * Any value at any place of a shell text arrives as exactly itself. The texts are run by the real shells: a reference that
 * became shell text, was split or was globbed would be seen.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { renderTask } from "../../../shared/spec/render.ts";

/** Files for globs to find: a value `*` that expands shows itself. */
const directory = mkdtempSync(join(tmpdir(), "spec-shell-"));
for (const name of ["a", "b.txt", "-n", "x y"]) writeFileSync(join(directory, name), "");
after(() => rmSync(directory, { recursive: true }));

/** Each program once: /bin/sh is often a link to one of the others. */
const SHELLS = [
  ...new Map(
    ["/bin/bash", "/bin/dash", "/bin/sh"].filter(existsSync).map((path) => [realpathSync(path), path]),
  ).values(),
];

const nasty = fc.constantFrom(
  ..."'\"`\\$(){}[]*?!#~;&|<>=-+%^ \t\n\r/.,:@aZ0é漢\u{1f600}\u0001\u007f",
  "$(touch pwned)",
  "`touch pwned`",
  "${HOME}",
  "{v}",
  "{{",
  "}}",
  "\\\n",
  "-n",
  "--",
  "EOF\n",
  "\nEOF\n",
  "*",
  "$((1/0))",
  "a[$(touch pwned)]",
  "\\'",
  "'; touch pwned; '",
  '"; touch pwned; "',
);
const value = fc.oneof(
  { weight: 6, arbitrary: fc.array(nasty, { maxLength: 8 }).map((parts) => parts.join("")) },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 12 }).map((text) => text.replaceAll("\0", "")) },
  { weight: 1, arbitrary: fc.constantFrom("", " ", "\n", "-", "*", "~", "1", "0x10", "a b") },
);

/** A word of shell text and what it must come to, for given values. */
interface Word {
  text: string;
  means(v: string, w: string): string;
}

const literal = (text: string, meaning = text): Word => ({ text, means: () => meaning });
const atoms: Word[] = [
  { text: "{v}", means: (v) => v },
  { text: "{w-1}", means: (_, w) => w },
  literal("a"),
  literal("--opt="),
  literal("\\{v}", "{v}"),
  literal("\\ ", " "),
  literal("''", ""),
  literal("{{v}}", "{v}"),
];
const inDouble: Word[] = [
  { text: "{v}", means: (v) => v },
  { text: "{w-1}", means: (_, w) => w },
  literal(" x  y "),
  literal("'"),
  literal("*"),
  literal("\\$.", "$."),
  literal("\\${v}", "${v}"),
  literal('\\"', '"'),
  literal("{{v}}", "{v}"),
  literal("{ v }"),
  literal("$\u007bunset_variable:-}", ""),
];
const inSingle: Word[] = [
  { text: "{v}", means: (v) => v },
  { text: "{w-1}", means: (_, w) => w },
  literal(" $(x) `y` "),
  literal('"'),
  literal("\\"),
  literal("${v}"),
  literal("{{v}}", "{v}"),
  literal("}}"),
];

const joined = (words: Word[]): Word => ({
  text: words.map((word) => word.text).join(""),
  means: (v, w) => words.map((word) => word.means(v, w)).join(""),
});
const some = (words: Word[]): fc.Arbitrary<Word> => fc.array(fc.constantFrom(...words), { maxLength: 4 }).map(joined);
const single = some(inSingle).map((inner): Word => ({ text: `'${inner.text}'`, means: inner.means }));

/** Words of quotes inside substitutions inside quotes; `$( )` strips newlines at its end, so it is given an end. */
const { word } = fc.letrec<{ word: Word; double: Word; substitution: Word }>((tie) => ({
  substitution: tie("word").chain((inner) =>
    fc.constantFrom(
      { text: `$(printf '%s.' ${inner.text})`, means: (v: string, w: string) => `${inner.means(v, w)}.` },
      {
        text: `$(case x in (y) :;; x) printf '%s.' ${inner.text};; esac)`,
        means: (v: string, w: string) => `${inner.means(v, w)}.`,
      },
      { text: `$(cat <<EOF\n{v}.\nEOF\n)`, means: (v: string) => `${v}.` },
      {
        text: `$(if :; then (printf '%s' ${inner.text}; echo ')'); fi # it's\n)`,
        means: (v: string, w: string) => `${inner.means(v, w)})`,
      },
    ),
  ),
  double: fc
    .array(
      fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...inDouble) }, { weight: 1, arbitrary: tie("substitution") }),
      { maxLength: 4 },
    )
    .map(joined)
    .map((inner) => ({ text: `"${inner.text}"`, means: inner.means })),
  word: fc
    .array(fc.oneof({ maxDepth: 3, depthSize: "small" }, fc.constantFrom(...atoms), single, tie("double")), {
      minLength: 1,
      maxLength: 4,
    })
    .map(joined),
}));

/** Statements that print words, each ended by NUL, in every position a command has. */
const SHOW = "show() { printf '%s\\0' \"$@\"; }\n";
const FORMS: ((word: Word) => { text: string; means(v: string, w: string): string[] })[] = [
  (x) => ({ text: `show ${x.text} end`, means: (v, w) => [x.means(v, w), "end"] }),
  (x) => ({ text: `A=x${x.text}; show "$A"`, means: (v, w) => [`x${x.means(v, w)}`] }),
  (x) => ({ text: `for i in ${x.text} {v}; do show "$i"; done`, means: (v, w) => [x.means(v, w), v] }),
  (x) => ({ text: `case ${x.text} in ${x.text}) show same;; *) show other;; esac`, means: () => ["same"] }),
  (x) => ({ text: `set -- ${x.text} {w-1}; show "$#" "$2"`, means: (_, w) => ["2", w] }),
  (x) => ({ text: `if [ x${x.text} = x${x.text} ]; then show yes; fi`, means: () => ["yes"] }),
  (x) => ({ text: `( show ${x.text} ) | cat`, means: (v, w) => [x.means(v, w)] }),
  (x) => ({ text: `{ show ${x.text}; } 2>&1`, means: (v, w) => [x.means(v, w)] }),
  (x) => ({ text: `f() { show "$1"; }; f ${x.text}`, means: (v, w) => [x.means(v, w)] }),
  () => ({ text: "cat <<EOF\n{v}$(printf %s. {w-1})\\\\ {{v}}\nEOF\nshow", means: (v, w) => [`${v}${w}.\\ {v}\n`] }),
  () => ({ text: "cat <<-'E O' ; show\n\tit's {word} ${v}\n\tE O", means: () => ["it's {word} ${v}\n"] }),
  (x) => ({ text: `while :; do show ${x.text}; break; done # it's "`, means: (v, w) => [x.means(v, w)] }),
];

const statement = fc
  .tuple(word, fc.nat({ max: FORMS.length - 1 }))
  .map(([x, form]) => (FORMS[form] as (typeof FORMS)[0])(x));

function run(shell: string, text: string, env: Record<string, string>): { words: string[]; problem: string } {
  const done = spawnSync(shell, ["-e", "-c", text], {
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: "/root", ...env },
    cwd: directory,
  });
  const problem = done.status === 0 ? "" : `status ${done.status}: ${done.stderr.toString()}`;
  return { words: done.stdout.toString().split("\0").slice(0, -1), problem };
}

test("any value arrives as exactly itself at any place of a shell text", () => {
  assert.ok(SHELLS.length > 0);
  let checked = 0;
  fc.assert(
    fc.property(
      fc.array(statement, { minLength: 1, maxLength: 12 }),
      fc.array(fc.tuple(value, value), { minLength: 2, maxLength: 4 }),
      (statements, pairs) => {
        const text = SHOW + statements.map((each) => each.text).join("\n");
        const { definition } = parseExperiment({
          object: {
            parameters: { "w-1": { default: "unused" } },
            tasks: { t: { command: text, task_inputs: { v: pairs.map(([v]) => v) } } },
          },
        });
        const template = definition.templates[0];
        assert.ok(template);
        assert.equal(template.command.kind, "shell");
        for (const [index, [v, w]] of pairs.entries()) {
          const { argv, env } = renderTask({
            experiment: 1,
            template,
            index,
            attempt: 1,
            parameters: { "w-1": w },
            outputDirectory: directory,
            scriptPath: "",
            outputPaths: () => [],
          });
          const expected = statements.flatMap((each) => each.means(v, w));
          for (const shell of SHELLS) {
            const seen = run(shell, argv[3] as string, env);
            assert.deepEqual(seen, { words: expected, problem: "" }, `${shell}\n${argv[3]}`);
            checked += expected.length;
          }
        }
        assert.ok(!existsSync(join(directory, "pwned")), "a value was executed");
      },
    ),
    { numRuns: 30 },
  );
  assert.ok(checked > 500, `${checked} words checked`);
});

test("a first word, a file of a redirection and an assignment take values too", () => {
  const text = '{v} "%s\\0" {w} > out/{w}; X={w} sh -c \'printf "%s\\0" "$X"\' >> "out/{w}"; cat out/{w}';
  const { definition } = parseExperiment({
    object: {
      parameters: { v: { default: "printf" }, w: { default: "a b*" } },
      tasks: { t: { command: `mkdir -p out; ${text}` } },
    },
  });
  const template = definition.templates[0];
  assert.ok(template);
  const context = { experiment: 1, template, index: 0, attempt: 1, parameters: definition.parameters };
  const { argv, env } = renderTask({ ...context, outputDirectory: directory, scriptPath: "", outputPaths: () => [] });
  for (const shell of SHELLS)
    assert.deepEqual(run(shell, argv[3] as string, env), { words: ["a b*", "a b*"], problem: "" });
});
