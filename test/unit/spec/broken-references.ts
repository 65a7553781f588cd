// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the texts are a shell's.
/** What is wrong with references, texts, parameters, needs of resources and outputs. Each file with its exact problems. */
import type { Broken } from "./broken-file.ts";

export const BROKEN_REFERENCES: Broken[] = [
  {
    title: "a misspelt reference",
    yaml: `tasks:
  a:
    task_inputs: { ligand: 1..3 }
    command: |
      set -u
      dock --ligand {ligan}
`,
    problems: [
      "spec_reference 6:21 tasks.a.command: {ligan} is not declared; did you mean {ligand}? write {{ligan}} for the braces themselves",
    ],
  },
  {
    title: "awk's braces",
    yaml: `tasks:
  a: { command: "awk '{print}' f" }
`,
    problems: [
      "spec_reference 2:23 tasks.a.command: {print} is not declared; write {{print}} for the braces themselves",
    ],
  },
  {
    title: "a misspelt output",
    yaml: `tasks:
  a: { command: x, task_outputs: { SCORE: s } }
  b: { needs: [a], command: 'f {a.SCOR}' }
`,
    problems: ["spec_reference 3:32 tasks.b.command: {a.SCOR}: a has no output SCOR; did you mean {a.SCORE}?"],
  },
  {
    title: "an output of a task that is no parent",
    yaml: `tasks:
  a: { command: x, task_outputs: { SCORE: s } }
  b: { command: 'f {a.SCORE}' }
`,
    problems: ["spec_reference 3:20 tasks.b.command: {a.SCORE} needs a under foreach or needs of b; add needs: [a]"],
  },
  {
    title: "an output of the task itself",
    yaml: `tasks:
  a: { command: 'f > {a.SCORE}', task_outputs: { SCORE: s } }
`,
    problems: ["spec_reference 2:22 tasks.a.command: {a.SCORE} is an output of the task itself; write the file's name"],
  },
  {
    title: "an output given as a glob in shell text",
    yaml: `tasks:
  a: { command: x, task_outputs: { PARTS: '*.txt' } }
  b: { needs: [a], command: 'cat {a.PARTS} > all' }
`,
    problems: [
      'spec_reference 3:34 tasks.b.command: {a.PARTS} may be several paths and cannot stand in shell text; use argv with "{a.PARTS}" as an argument of its own',
    ],
  },
  {
    title: "outputs of many tasks in shell text",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..3 }, task_outputs: { S: s } }
  b: { needs: [a], command: 'cat {a.S}' }
`,
    problems: [
      'spec_reference 3:34 tasks.b.command: {a.S} may be several paths and cannot stand in shell text; use argv with "{a.S}" as an argument of its own',
    ],
  },
  {
    title: "several paths as a part of an argument",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..3 }, task_outputs: { S: s } }
  b: { needs: [a], argv: [cat, '--in={a.S}'] }
`,
    problems: [
      'spec_reference 3:38 tasks.b.argv[1]: {a.S} is several paths and must be an argument of its own; write "{a.S}" as one entry of argv',
    ],
  },
  {
    title: "too many paths for one argument",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..10001 }, task_outputs: { S: s } }
  b: { needs: [a], argv: [cat, '{a.S}'] }
`,
    problems: ["spec_too_large 3:32 tasks.b.argv[1]: {a.S} would be 10001 paths; the limit is 10000"],
  },
  {
    title: "several paths in a variable",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..3 }, task_outputs: { S: s } }
  b: { needs: [a], command: x, environment: { F: '{a.S}' } }
`,
    problems: ["spec_reference 3:47 tasks.b.environment.F: several paths cannot stand in a variable; use argv"],
  },
  {
    title: "references where a shell evaluates",
    yaml: `parameters: { x: { default: 1 } }
tasks:
  a:
    command: |
      echo $(( {x} + 1 ))
      echo \`date {x}\`
      echo \${y:-{x}}
      [[ {x} = 1 ]] && echo yes
      # about {x}
      (( {x} > 1 ))
      a[{x}]=1
      echo $'{x}'
`,
    problems: [
      "spec_reference 5:16 tasks.a.command: {x} cannot stand inside $(( … )): use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 6:18 tasks.a.command: {x} cannot stand inside backticks: use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 7:17 tasks.a.command: {x} cannot stand inside ${ … }: use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 8:10 tasks.a.command: {x} cannot stand inside [[ … ]]: use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 9:15 tasks.a.command: {x} cannot stand inside a comment: use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 10:10 tasks.a.command: {x} cannot stand inside (( … )): use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 11:9 tasks.a.command: {x} cannot stand inside the brackets of name[…]: use the environment variable AIRAVATA_PARAM_x",
      "spec_reference 12:14 tasks.a.command: {x} cannot stand inside $'…': use the environment variable AIRAVATA_PARAM_x",
    ],
  },
  {
    title: "a reference in a quoted here-document",
    yaml: `parameters: { x: { default: 1 } }
tasks:
  a:
    command: |
      python3 - <<'EOF'
      print(f"{x} {other}")
      EOF
`,
    problems: [
      "spec_reference 6:15 tasks.a.command: {x} cannot stand inside a quoted here-document: use the environment variable AIRAVATA_PARAM_x",
    ],
  },
  {
    title: "a reference in a script of another interpreter",
    yaml: `parameters: { seed: { default: 1 } }
scripts:
  p: |
    #!/usr/bin/env python3
    local = 2
    print(f"{seed} {local}")
tasks:
  a: { script: p }
`,
    problems: [
      'spec_reference 6:13 scripts.p: {seed} cannot stand inside a script that "/usr/bin/env python3" reads: use the environment variable AIRAVATA_PARAM_seed; braces of the script\'s own are written { seed }',
    ],
  },
  {
    title: "an interpreter without a path",
    yaml: `scripts:
  p: |
    #!python3
    print(1)
tasks:
  a: { script: p }
`,
    problems: [
      'spec_value 2:3 scripts.p: the first line must name the interpreter by an absolute path, it names "python3"; write for example #!/usr/bin/env python3',
    ],
  },
  {
    title: "an open quote",
    yaml: `tasks:
  a: { command: "echo 'it" }
`,
    problems: ["spec_shell 2:23 tasks.a.command: the single quote is not closed"],
  },
  {
    title: "open brackets and quotes",
    yaml: `tasks:
  a:
    command: |
      echo $(date "x
`,
    problems: [
      "spec_shell 4:12 tasks.a.command: $( is not closed",
      "spec_shell 4:19 tasks.a.command: the double quote is not closed",
    ],
  },
  {
    title: "a here-document without a word",
    yaml: `tasks:
  a: { command: 'cat <<' }
`,
    problems: ["spec_shell 2:22 tasks.a.command: << needs a word that ends the here-document"],
  },
  {
    title: "an undeclared parameter on the command line",
    yaml: `tasks:
  a:
    command: "true x"
`,
    overrides: { sed: "1" },
    problems: ["spec_parameter 1:1 parameters: -p sed: no parameter of this name is declared; declared: none"],
  },
  {
    title: "a parameter of the wrong type on the command line",
    yaml: `parameters: { seed: { type: int, default: 1 } }
tasks:
  a:
    command: "true x"
`,
    overrides: { seed: "1.5" },
    problems: ['spec_parameter 1:15 parameters.seed: -p seed: "1.5" is not a whole number (type int)'],
  },
  {
    title: "a NUL on the command line",
    yaml: `parameters: { seed: { default: 1 } }
tasks:
  a:
    command: "true x"
`,
    overrides: { seed: "a\u0000b" },
    problems: ['spec_parameter 1:15 parameters.seed: -p seed: "a\\u0000b" is not a value without NUL characters'],
  },
  {
    title: "defaults of the wrong type",
    yaml: `parameters:
  n: { type: int, default: many }
  f: { type: float, default: '1,5' }
  b: { type: bool, default: yes }
tasks:
  a:
    command: "true x"
`,
    problems: [
      'spec_parameter 2:19 parameters.n.default: the default "many" is not a whole number (type int)',
      'spec_parameter 3:21 parameters.f.default: the default "1,5" is not a number (type float)',
      'spec_parameter 4:20 parameters.b.default: the default "yes" is not true or false (type bool)',
    ],
  },
  {
    title: "a parameter without a value",
    yaml: `parameters: { seed: { type: int } }
tasks:
  a:
    command: "true x"
`,
    problems: ["spec_missing 1:15 parameters.seed: the parameter seed has no value; give it a default, or -p seed=…"],
  },
  {
    title: "an unknown type",
    yaml: `parameters: { seed: { type: integer, default: 1 } }
tasks:
  a:
    command: "true x"
`,
    problems: [
      'spec_value 1:23 parameters.seed.type: "integer" is not one of int, float, string, bool, path; did you mean int?',
    ],
  },
  {
    title: "a parameter in short form",
    yaml: `parameters: { seed: 42 }
tasks:
  a:
    command: "true x"
`,
    problems: ["spec_type 1:15 parameters.seed: 42 stands where a map with type, default, description is needed"],
  },
  {
    title: "files beside a spec whose place is unknown",
    yaml: `parameters: { r: { type: path, default: r.pdb } }
tasks:
  a: { command: './dock {r}' }
  b: { argv: [./dock] }
`,
    problems: [
      "spec_path 1:32 parameters.r.default: the parameter r (r.pdb) is found beside the experiment file, and the directory of that file is not known; submit with spec_directory, or give an absolute path",
      "spec_path 3:8 tasks.a.command: the program of a (./dock) is found beside the experiment file, and the directory of that file is not known; submit with spec_directory, or give an absolute path",
      "spec_path 4:15 tasks.b.argv[0]: the program of b (./dock) is found beside the experiment file, and the directory of that file is not known; submit with spec_directory, or give an absolute path",
    ],
  },
  {
    title: "a NUL in a value",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: ["a\\0b"] } }
`,
    problems: ["spec_value 2:45 tasks.a.task_inputs.x[0]: a NUL character cannot be given to a program"],
  },
  {
    title: "half a character",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: ["\\ud800"] } }
`,
    problems: ["spec_value 2:45 tasks.a.task_inputs.x[0]: half a surrogate pair is no character"],
  },
  {
    title: "resources that are no numbers",
    yaml: `tasks:
  a: { command: x, requires: { cpu: many, gpu: 0.5, ram_gb: 0, disk_gb: -1 } }
`,
    problems: [
      'spec_type 2:32 tasks.a.requires.cpu: "many" is not a number above 0 up to 1000000',
      "spec_type 2:43 tasks.a.requires.gpu: 0.5 is not a whole number from 0 to 1000",
      "spec_value 2:53 tasks.a.requires.ram_gb: 0 is not a number above 0 up to 1000000",
      "spec_value 2:64 tasks.a.requires.disk_gb: -1 is not a number from 0 to 1000000",
    ],
  },
  {
    title: "times that are none",
    yaml: `tasks:
  a: { command: x, requires: { time: 30 } }
  b: { command: x, requires: { time: 10:00 } }
  c: { command: x, requires: { time: 0s } }
  d: { command: x, requires: { time: 2h 1d } }
  e: { command: x, requires: { time: 401d } }
`,
    problems: [
      "spec_type 2:32 tasks.a.requires.time: 30 has no unit; write 30s, 30m or 0:30:00",
      'spec_value 3:32 tasks.b.requires.time: "10:00" is not a time; write 0:30:00, 90s, 30m, 2h or "1d 2h"',
      "spec_value 4:32 tasks.c.requires.time: a time of 0 lets no task run; write at least 1s",
      'spec_value 5:32 tasks.d.requires.time: "2h 1d" is not a time; write 0:30:00, 90s, 30m, 2h or "1d 2h"',
      "spec_value 6:32 tasks.e.requires.time: 401d is longer than the longest time, 400d",
    ],
  },
  {
    title: "more than one machine",
    yaml: `resources:
  compute: { node: 2 }
tasks:
  a:
    command: "true x"
`,
    problems: [
      "spec_not_supported 2:14 resources.compute.node: a task on more than one machine is not supported yet; leave node out or write 1",
    ],
  },
  {
    title: "what is not supported yet",
    yaml: `tasks:
  a: { command: x, zip: [x], when: 'x > 1', matrix: { exclude: [] }, csv: rows.csv, deadline: 1h }
resources: { conda: [numpy], pip: [pandas], container: 'docker://x', storage: ['s:/a:b'] }
deadline: 1d
`,
    problems: [
      "spec_not_supported 2:20 tasks.a.zip: zip is not supported yet",
      "spec_not_supported 2:30 tasks.a.when: when is not supported yet",
      "spec_not_supported 2:45 tasks.a.matrix: matrix is not supported yet",
      "spec_not_supported 2:70 tasks.a.csv: csv is not supported yet",
      "spec_not_supported 2:85 tasks.a.deadline: deadline is not supported yet",
      "spec_not_supported 3:14 resources.conda: conda environments are not supported yet; activate one in the command",
      "spec_not_supported 3:30 resources.pip: pip environments are not supported yet; make one in the command",
      "spec_not_supported 3:45 resources.container: containers are not supported yet; start the container in the command",
      "spec_not_supported 3:70 resources.storage: remote storage is not supported yet; read files by a path that the machine can see",
      "spec_not_supported 4:1 deadline: deadline is not supported yet",
    ],
  },
  {
    title: "retries for unknown causes",
    yaml: `tasks:
  a: { command: x, retries: { max: -1, on: [exit, crash] } }
`,
    problems: [
      "spec_value 2:31 tasks.a.retries.max: -1 is not a whole number from 0 to 1000",
      'spec_value 2:51 tasks.a.retries.on[1]: "crash" is not one of exit, signal, timeout, oom, output, spawn',
    ],
  },
  {
    title: "a priority out of bounds",
    yaml: `priority: 1001
max_failures: 0
on_disconnect: retry
tasks:
  a:
    command: "true x"
`,
    problems: [
      "spec_value 1:1 priority: 1001 is not a whole number from -1000 to 1000",
      "spec_value 2:1 max_failures: 0 is not a whole number from 1 to 10000000",
      'spec_value 3:1 on_disconnect: "retry" is not one of requeue, wait',
    ],
  },
  {
    title: "variables of ours",
    yaml: `resources: { environment: { AIRAVATA_TASK_ID: x } }
tasks:
  a: { command: x, environment: { 1X: y } }
`,
    problems: [
      'spec_name 1:29 resources.environment.AIRAVATA_TASK_ID: "AIRAVATA_TASK_ID" cannot be a name here: a variable has letters, digits and _, begins with no digit and not with AIRAVATA_',
      'spec_name 3:35 tasks.a.environment["1X"]: "1X" cannot be a name here: a variable has letters, digits and _, begins with no digit and not with AIRAVATA_',
    ],
  },
  {
    title: "an input in the environment of all",
    yaml: `resources: { environment: { X: '{i}' } }
tasks:
  a: { command: x, task_inputs: { i: 1..3 } }
`,
    problems: [
      "spec_reference 1:29 resources.environment.X: {i} is not declared; write {{i}} for the braces themselves",
    ],
  },
  {
    title: "outputs outside the directory",
    yaml: `tasks:
  a: { command: x, task_outputs: { A: /etc/passwd, B: ../x, C: 'a[b', D: dir/, E: '' } }
`,
    problems: [
      'spec_value 2:36 tasks.a.task_outputs.A: "/etc/passwd" is absolute; outputs are named relative to the task\'s directory',
      'spec_value 2:52 tasks.a.task_outputs.B: "../x" leads out of the task\'s directory by ..',
      'spec_value 2:61 tasks.a.task_outputs.C: "a[b" has a [ without ]; write \\[ for the bracket itself',
      'spec_value 2:71 tasks.a.task_outputs.D: "dir/" names a directory; write a glob of the files in it, for example results/**',
      'spec_value 2:80 tasks.a.task_outputs.E: "" names no file',
    ],
  },
  {
    title: "two outputs that are one variable",
    yaml: `tasks:
  a: { command: x, task_outputs: { S: s } }
  a_b: { command: x, task_outputs: { c: s } }
  a-b: { command: x }
  x: { command: x, task_outputs: { a-S: s, a_S: t } }
`,
    problems: [
      "spec_name 4:3 tasks.a-b: the task names a_b and a-b are the same once - becomes _; rename one of them",
      "spec_name 5:44 tasks.x.task_outputs.a_S: the output names a-S and a_S are the same once - becomes _; rename one of them",
    ],
  },
  {
    title: "outputs of two parents that are one variable",
    yaml: `tasks:
  a: { command: x, task_outputs: { b_C: s } }
  a_b: { command: x, task_outputs: { C: s } }
  c: { command: x, needs: [a, a_b] }
`,
    problems: [
      "spec_name 4:3 tasks.c: a.b_C and a_b.C would both be the variable AIRAVATA_INPUT_a_b_C of c; rename one of them",
    ],
  },
  {
    title: "a name with a slash",
    yaml: `name: a/b
project: my project
tasks:
  a:
    command: "true x"
`,
    problems: [
      'spec_value 1:1 name: "a/b" is not a name without / and control characters, not beginning with a dot',
      'spec_value 2:1 project: "my project" is not a project\'s name',
    ],
  },
  {
    title: "a list nested too deeply",
    yaml: `tasks: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
`,
    problems: ["spec_too_large 1:40 the file is nested more than 32 deep"],
  },
  {
    title: "problems in several places at once",
    yaml: `name: [x]
tasks:
  a: { comand: x }
  b: { command: 'f {y}', needs: [c], retries: 3 }
resources: { compute: { cpu: x } }
`,
    problems: [
      "spec_type 1:1 name: a list stands where a name without / and control characters, not beginning with a dot is needed",
      'spec_unknown_key 3:8 tasks.a.comand: unknown key "comand"; the nearest known key is command; known here: script, command, argv, task_inputs, task_outputs, foreach, needs, requires, retries, environment, matrix, zip, csv, when, deadline',
      "spec_reference 4:20 tasks.b.command: {y} is not declared; write {{y}} for the braces themselves",
      "spec_reference 4:34 tasks.b.needs[0]: b has the unknown task c under needs; the tasks are a, b",
      "spec_type 4:38 tasks.b.retries: 3 stands where a map with max, on is needed",
      'spec_type 5:25 resources.compute.cpu: "x" is not a number above 0 up to 1000000',
    ],
  },
];
