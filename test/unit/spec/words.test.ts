// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/** A command line that becomes argv means exactly what a shell makes of it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { parseExperiment } from "../../../shared/spec/parse.ts";
import { renderTask } from "../../../shared/spec/render.ts";

const VALUE = "a  'b'\n\"$(x)\" * ~";
const pieces = [
  ..."ab1_@%+:,./=-~*?[]!#^&|;<>()$`\\{}\n\t'\" ".split(""),
  "show",
  "A=b",
  "{v}",
  "${v}",
  "'{v}'",
  '"{v}"',
  "'a b'",
  '"a b"',
  "'it\"s'",
  '"it\'s"',
  "''",
  '""',
  "--x={v}",
  "{{v}}",
  "'{{a}}'",
  "$HOME",
  "'$HOME'",
  '"$HOME"',
  "{a,b}",
  "{ x }",
  "{}",
  "'}}'",
  "#x",
  "a#x",
  "~",
  "~/x",
  "\\ ",
  "é",
  "'é\n'",
  "2>x",
  "[a]",
  "if",
  "  ",
];

/** The command as it is compiled and, for the shell's opinion, as shell text. */
function compile(
  line: string,
): { kind: string; argv: string[]; env: Record<string, string>; shellText: string } | null {
  const build = (command: string) => {
    const { definition } = parseExperiment({
      object: { parameters: { v: { default: VALUE } }, tasks: { t: { command } } },
    });
    const [template] = definition.templates;
    assert.ok(template);
    const context = { experiment: 1, template, index: 0, attempt: 1, parameters: definition.parameters };
    return {
      kind: template.command.kind,
      ...renderTask({ ...context, outputDirectory: "/o", scriptPath: "", outputPaths: () => [] }),
    };
  };
  try {
    const { kind, argv, env } = build(line);
    // A trailing command of its own makes it a shell text that means the same.
    return { kind, argv, env, shellText: kind === "argv" ? (build(`${line.trim()}\n:`).argv[3] ?? "") : "" };
  } catch {
    return null;
  }
}

test("a line compiled to argv has the words that the shell gives", () => {
  const lines = fc.sample(
    fc.array(fc.constantFrom(...pieces), { maxLength: 7 }).map((parts) => `show ${parts.join("")}`),
    { numRuns: 6_000, seed: 7 },
  );
  const compiled = [...new Set(lines)].map(compile).filter((each) => each?.kind === "argv") as NonNullable<
    ReturnType<typeof compile>
  >[];
  assert.ok(compiled.length > 300, `${compiled.length} lines became argv`);
  for (let start = 0; start < compiled.length; start += 200) {
    const batch = compiled.slice(start, start + 200);
    const text = `show() { printf '%s\\0' "$#" "$@"; }\n${batch.map((each) => each.shellText).join("\n")}`;
    const done = spawnSync("/bin/sh", ["-e", "-c", text], { env: { PATH: "/nowhere", ...batch[0]?.env } });
    assert.equal(done.stderr.toString(), "");
    const expected = batch.flatMap(({ argv }) => [String(argv.length - 1), ...argv.slice(1)]);
    assert.deepEqual(done.stdout.toString().split("\0").slice(0, -1), expected);
  }
});

test("what a shell might understand differently stays shell", () => {
  const shell = [
    "echo hi",
    "cd /tmp",
    "true",
    "exit 3",
    "test -f x",
    "[ -f x ]",
    "export A=1",
    "A=1 prog",
    "prog $HOME",
    'prog "$HOME"',
    "prog *.txt",
    "prog ~",
    "prog > out",
    "prog | cat",
    "prog; prog",
    "prog &",
    "prog\nprog",
    "prog a\\ b",
    "prog `date`",
    "prog $(date)",
    "{v} a",
    "'' a",
    "prog [ab]",
    "prog a?",
    "prog # note",
    "! prog",
    "time prog",
    "prog {a,b}",
    "prog é",
    "prog 2>x",
    "if",
    ". ./x",
    "a=b/c x",
    "printf x",
  ];
  for (const line of shell) assert.equal(compile(line)?.kind, "shell", line);
  const argv = [
    "prog",
    "/bin/true",
    "sleep 0.1",
    "prog --a=b -c d,e @f %g +h",
    "prog 'a $b' \"c *\"",
    "prog {v} --x={v} '{v}'",
    "  prog a  \n",
    "env A=1 prog",
  ];
  for (const line of argv) assert.equal(compile(line)?.kind, "argv", line);
});
