import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import type { Command } from "commander";
import { completionScript } from "../../../agent/cli/command/completion.ts";
import { UNSUPPORTED } from "../../../agent/cli/command/unsupported.ts";
import { buildProgram } from "../../../agent/cli/program.ts";
import { plain, type Screen } from "../../../agent/cli/terminal.ts";
import { airavata } from "../../support/cli.ts";

const said: string[] = [];
const screen: Screen = { write: (text) => void said.push(text), columns: 0, isTerminal: false, paint: plain };
const program = await buildProgram({ environment: {}, out: screen, err: screen }, () => {});

function leaves(command: Command, path: string[] = []): [string, Command][] {
  return command.commands.flatMap((sub): [string, Command][] => {
    const here = [...path, sub.name()];
    return sub.commands.length > 0 ? leaves(sub, here) : [[here.join(" "), sub]];
  });
}
const ALL = leaves(program);
const unsupported = new Set(UNSUPPORTED.map(({ path }) => path));
const forwarded = new Set(["up", "server", "daemon", "both"]);
const OWN = ALL.filter(([path]) => !unsupported.has(path) && !forwarded.has(path));

/** The interface's table of commands. */
const PROMISED = `
  run up server daemon both version help completion enrol
  experiment:list,show,tasks,cancel,pause,resume,retry,derive,outputs,download,watch,explain
  task:show,logs,explain,cancel
  agent:list,show,drain,update
  allocation:list,show,cancel
  auth:login,logout,status,refresh
  compute:create,list,show,update,delete,test,bind,unbind,share,rotate
  storage:create,list,show,update,delete,test,bind,unbind,share,rotate
  credential:create,list,show,update,delete,test,bind,unbind,share,rotate
  data:ls,put,get
  enrolment:create,list,revoke
  admin:check,backup,restore,gc,doctor
`;

test("every command of the interface is in the tree", () => {
  const paths = new Set(ALL.map(([path]) => path));
  for (const word of PROMISED.trim().split(/\s+/)) {
    const [group = "", verbs] = word.split(":");
    const expected = verbs === undefined ? [group] : verbs.split(",").map((verb) => `${group} ${verb}`);
    for (const path of expected) assert.ok(paths.has(path), `airavata ${path}`);
  }
  assert.ok(program.commands.some((command) => command.name() === "agent"));
});

for (const [path, command] of OWN) {
  test(`airavata ${path} --help has a description, --json and an example of itself`, () => {
    said.length = 0;
    command.outputHelp();
    const help = said.join("");
    assert.match(help, new RegExp(`\\n  airavata ${path}`), "an example");
    assert.match(help, /--json/);
    const common = help.indexOf("Options of every command:");
    assert.ok(common < 0 || help.indexOf("\nOptions:") < common, "its own options come first");
    assert.ok(command.description().length > 10);
  });
}

for (const path of unsupported) {
  test(`airavata ${path} says that it is not supported yet, whatever follows`, async () => {
    const own = await buildProgram({ environment: {}, out: screen, err: screen }, () => {});
    await assert.rejects(own.parseAsync([...path.split(" "), "--any", "word", "--help"], { from: "user" }), {
      code: "not_supported_yet",
      message: `This version of airavata does not support "airavata ${path}" yet.`,
    });
  });
}

test("the help of the program lists each command once", () => {
  said.length = 0;
  program.outputHelp();
  const listed = [...said.join("").matchAll(/^ {2}([a-z]\w*)\b(?= {2,}| <| \[)/gm)].map((match) => match[1]);
  assert.ok(listed.includes("help"));
  assert.deepEqual(listed, [...new Set(listed)]);
});

test("a state that there is none of is refused with those that there are", async () => {
  const { code, stderr } = await airavata(["experiment", "list", "--state", "waiting"]);
  assert.equal(code, 3);
  assert.match(stderr, /'waiting' is invalid\. It must be one of CREATED, EXECUTING, PAUSED, /);
});

test("not supported and wrong usage are exit 3; help and version are exit 0", async () => {
  assert.equal((await airavata(["allocation", "list"])).code, 3);
  assert.equal((await airavata(["lst"])).code, 3);
  assert.equal((await airavata([])).code, 3);
  assert.equal((await airavata(["run"])).code, 3);
  for (const words of [["help"], ["--help"], ["run", "--help"], ["help", "experiment", "retry"], ["version"], ["-V"]]) {
    const { code, stdout, stderr } = await airavata(words);
    assert.equal(code, 0, words.join(" "));
    assert.notEqual(stdout, "");
    assert.equal(stderr, "");
  }
});

test("a slip is answered with the command that was meant", async () => {
  const { stderr } = await airavata(["experiment", "lsit"]);
  assert.equal(
    stderr,
    "error: Unknown command 'lsit'; did you mean list? See --help.\n       docs/errors.md#usage_invalid\n",
  );
});

test("it works through links, from any directory", async () => {
  const { mkdtempSync, rmSync, symlinkSync } = await import("node:fs");
  const { join } = await import("node:path");
  const { AIRAVATA } = await import("../../support/cli.ts");
  const directory = mkdtempSync("/tmp/airavata link ");
  try {
    symlinkSync(AIRAVATA, join(directory, "first"));
    symlinkSync("first", join(directory, "second"));
    const { code } = await airavata(["version"], {
      program: join(directory, "second"),
      cwd: directory,
      env: { CDPATH: "/" },
    });
    assert.equal(code, 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("the bash script completes commands, options and files", () => {
  const script = completionScript(program, "bash");
  const complete = (...words: string[]): string[] => {
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const shell = `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _airavata; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const result = spawnSync("bash", ["-c", shell], { encoding: "utf8", cwd: "/" });
    assert.equal(result.stderr, "");
    return result.stdout.trim().split("\n");
  };
  assert.deepEqual(complete("airavata", "exp"), ["experiment"]);
  assert.deepEqual(complete("airavata", "experiment", "re"), ["resume", "retry"]);
  assert.deepEqual(complete("airavata", "--server", "experiment", "experiment", "dow"), ["download"]);
  assert.deepEqual(complete("airavata", "run", "--dr"), ["--dry-run"]);
  assert.deepEqual(complete("airavata", "run", "et"), ["etc"]);
});

test("zsh and fish scripts are well formed where the shells are there", () => {
  for (const [shell, check] of [
    ["zsh", "-n"],
    ["fish", "-n"],
  ] as const) {
    const script = completionScript(program, shell);
    assert.match(script, /download/);
    if (spawnSync(shell, ["-c", "exit 0"]).status !== 0) continue;
    const result = spawnSync(shell, [check, "/dev/stdin"], { input: script, encoding: "utf8" });
    assert.equal(result.status, 0, result.stderr);
  }
  assert.throws(() => completionScript(program, "tcsh"), { code: "usage_invalid" });
});
