/** What is wrong with the file itself, its keys and its tasks, inputs and edges. Each file with its exact problems. */
import type { Broken } from "./broken-file.ts";

export const BROKEN_STRUCTURE: Broken[] = [
  {
    title: "an empty file",
    yaml: `# nothing
`,
    problems: ["spec_type nothing stands where a map with version, name, project, description is needed"],
  },
  {
    title: "a file that is a list",
    yaml: `- tasks
`,
    problems: ["spec_type 1:1 a list stands where a map with version, name, project, description is needed"],
  },
  {
    title: "a file without tasks",
    yaml: `name: x
`,
    problems: ["spec_missing 1:1 tasks is missing: the tasks by name"],
  },
  {
    title: "a file with empty tasks",
    yaml: `tasks: {}
`,
    problems: ["spec_missing 1:1 tasks: tasks is empty: there is nothing to run"],
  },
  {
    title: "broken YAML",
    yaml: `tasks:
  a: [1, 2
  b: 3
`,
    problems: ["spec_syntax 3:3 Flow sequence in block collection must be sufficiently indented and end with a ]"],
  },
  {
    title: "a key that stands twice",
    yaml: `tasks:
  a: { command: x }
  a: { command: y }
`,
    problems: ['spec_syntax 3:3 the key "a" stands twice'],
  },
  {
    title: "a tab as indentation",
    yaml: `tasks:
	a:
		command: x
`,
    problems: [
      "spec_syntax 2:1 Tabs are not allowed as indentation",
      "spec_syntax 3:1 Tabs are not allowed as indentation",
    ],
  },
  {
    title: "an unknown anchor",
    yaml: `tasks:
  a: *gone
`,
    problems: ["spec_syntax 2:6 the alias *gone has no anchor before it"],
  },
  {
    title: "an alias inside its own anchor",
    yaml: `tasks: &t
  a: *t
`,
    problems: ["spec_syntax 2:6 the alias *t stands inside what it names"],
  },
  {
    title: "two documents",
    yaml: `tasks: { a: { command: x } }
---
tasks: { b: { command: y } }
`,
    problems: ["spec_syntax 2:1 the file holds several YAML documents; one is needed"],
  },
  {
    title: "a merge key",
    yaml: `base: &b { command: x }
tasks:
  a:
    <<: *b
    needs: []
`,
    problems: [
      'spec_unknown_key 1:1 base: unknown key "base"; the nearest known key is name; known here: version, name, project, description, parameters, scripts, tasks, resources, priority, max_failures, on_disconnect, wait_for, deadline',
      "spec_missing 3:3 tasks.a: a has none of script, command and argv; exactly one of them says what to run",
      'spec_unknown_key 4:5 tasks.a["<<"]: unknown key "<<"; the nearest known key is zip; merge keys are not supported: use an alias for a whole value',
      "spec_value 5:5 tasks.a.needs: the list is empty",
    ],
  },
  {
    title: "an unknown tag",
    yaml: `tasks:
  a: { command: !secret x }
`,
    problems: ["spec_syntax 2:17 Unresolved tag: !secret"],
  },
  {
    title: "a misspelt key at the top",
    yaml: `task:
  a: { command: x }
`,
    problems: [
      'spec_unknown_key 1:1 task: unknown key "task"; the nearest known key is tasks; known here: version, name, project, description, parameters, scripts, tasks, resources, priority, max_failures, on_disconnect, wait_for, deadline',
    ],
  },
  {
    title: "a misspelt key of a task",
    yaml: `tasks:
  a: { command: x, retires: { max: 3 } }
`,
    problems: [
      'spec_unknown_key 2:20 tasks.a.retires: unknown key "retires"; the nearest known key is retries; known here: script, command, argv, task_inputs, task_outputs, foreach, needs, requires, retries, environment, matrix, zip, csv, when, deadline',
    ],
  },
  {
    title: "a key in the wrong place",
    yaml: `tasks:
  a: { command: x, ram_gb: 3 }
`,
    problems: [
      'spec_unknown_key 2:20 tasks.a.ram_gb: unknown key "ram_gb"; the nearest known key is argv; ram_gb belongs under tasks.<name>.requires',
    ],
  },
  {
    title: "a misspelt key deep inside",
    yaml: `resources:
  compute: { cpus: 4 }
tasks:
  a: { command: x }
`,
    problems: [
      'spec_unknown_key 2:14 resources.compute.cpus: unknown key "cpus"; the nearest known key is cpu; known here: node, cpu, gpu, ram_gb, disk_gb, vram_gb, time, labels, custom',
    ],
  },
  {
    title: "a newer version",
    yaml: `version: 2
tasks: { a: { command: x } }
`,
    problems: ["spec_value 1:1 version: 2 is not a version that this program reads, which is 1"],
  },
  {
    title: "the key __proto__",
    yaml: `tasks:
  __proto__: { command: x }
  a: { command: x }
`,
    problems: ["spec_name 2:3 the key __proto__ cannot be used"],
  },
  {
    title: "a task name with a space",
    yaml: `tasks:
  my task: { command: x }
`,
    problems: [
      'spec_name 2:3 tasks["my task"]: "my task" cannot be a name here: a name has letters, digits, _ and -, at most 63, and begins with a letter or _',
    ],
  },
  {
    title: "a task name of 64 characters",
    yaml: `tasks:
  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: { command: x }
`,
    problems: [
      'spec_name 2:3 tasks.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" cannot be a name here: a name has letters, digits, _ and -, at most 63, and begins with a letter or _',
    ],
  },
  {
    title: "two task names that are one variable",
    yaml: `tasks:
  a-b: { command: x }
  a_b: { command: x }
`,
    problems: ["spec_name 3:3 tasks.a_b: the task names a-b and a_b are the same once - becomes _; rename one of them"],
  },
  {
    title: "an input named like a parameter",
    yaml: `parameters: { x: { default: 1 } }
tasks:
  a: { command: 'f {x}', task_inputs: { x: [1, 2] } }
`,
    problems: ["spec_conflict 3:41 tasks.a.task_inputs.x: x is both a parameter and an input of a; rename one of them"],
  },
  {
    title: "an input and a parameter that are one variable",
    yaml: `parameters: { x-y: { default: 1 } }
tasks:
  a: { command: f, task_inputs: { x_y: [1, 2] } }
`,
    problems: [
      "spec_name 3:35 tasks.a.task_inputs.x_y: the parameter x-y and the input x_y are the same once - becomes _; rename one of them",
    ],
  },
  {
    title: "a task without a command",
    yaml: `tasks:
  a: { retries: { max: 1 } }
`,
    problems: [
      "spec_missing 2:3 tasks.a: a has none of script, command and argv; exactly one of them says what to run",
    ],
  },
  {
    title: "a task with two commands",
    yaml: `tasks:
  a: { command: x, argv: [x] }
`,
    problems: ["spec_conflict 2:3 tasks.a: a has command and argv; exactly one of them says what to run"],
  },
  {
    title: "an unknown script",
    yaml: `scripts: { dock: ls }
tasks:
  a: { script: dok }
`,
    problems: ['spec_reference 3:8 tasks.a.script: there is no script "dok"; did you mean dock?'],
  },
  {
    title: "an empty command",
    yaml: `tasks:
  a: { command: ' ' }
`,
    problems: ["spec_value 2:8 tasks.a.command: the text is empty"],
  },
  {
    title: "a command that is a number",
    yaml: `tasks:
  a: { command: 5 }
`,
    problems: ["spec_type 2:8 tasks.a.command: 5 is not a text; put it in quotes"],
  },
  {
    title: "an argv that is a text",
    yaml: `tasks:
  a: { argv: ls }
`,
    problems: ['spec_type 2:8 tasks.a.argv: "ls" stands where a list is needed; write [ls]'],
  },
  {
    title: "a scalar input",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 5 } }
`,
    problems: [
      'spec_range 2:41 tasks.a.task_inputs.x: "5" is neither a list nor a range a..b or a..b..step; a single value is written [5]',
    ],
  },
  {
    title: "an empty list of inputs",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: [] } }
`,
    problems: ["spec_value 2:41 tasks.a.task_inputs.x: the list is empty"],
  },
  {
    title: "a list with nothing in it",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: [1, , 2] } }
`,
    problems: ["spec_syntax 2:48 Unexpected , in flow sequence"],
  },
  {
    title: "a list with a hole",
    yaml: `tasks:
  a:
    command: f {x}
    task_inputs:
      x:
        - 1
        -
        - [2]
`,
    problems: [
      "spec_type 7:10 tasks.a.task_inputs.x[1]: nothing stands where a text or number is needed",
      "spec_type 8:11 tasks.a.task_inputs.x[2]: a list stands where a text or number is needed",
    ],
  },
  {
    title: "a range that is too long",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 1..1e15 } }
`,
    problems: [
      'spec_range 2:41 tasks.a.task_inputs.x: the range "1..1e15" has 1000000000000000 values; the limit is 10000000',
    ],
  },
  {
    title: "a product that is too large",
    yaml: `tasks:
  a: { command: 'f {x} {y}', task_inputs: { x: 1..10000, y: 1..1001 } }
`,
    problems: [
      "spec_too_large 2:30 tasks.a.task_inputs: the product of the inputs of a is 10010000 tasks; the limit is 10000000",
    ],
  },
  {
    title: "a range that counts down without a step",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 10..1 } }
`,
    problems: ['spec_range 2:41 tasks.a.task_inputs.x: "10..1" counts down and needs a negative step; write 10..1..-1'],
  },
  {
    title: "a range with step 0",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 1..10..0 } }
`,
    problems: ['spec_range 2:41 tasks.a.task_inputs.x: the step of "1..10..0" is 0'],
  },
  {
    title: "a range with a step in the wrong direction",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 1..10..-1 } }
`,
    problems: [
      'spec_range 2:41 tasks.a.task_inputs.x: "1..10..-1" counts up with a negative step; leave the minus out',
    ],
  },
  {
    title: "a range of words",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: a..z } }
`,
    problems: ['spec_range 2:41 tasks.a.task_inputs.x: "a" in the range "a..z" is not a number with at most 18 digits'],
  },
  {
    title: "a range of too many digits",
    yaml: `tasks:
  a: { command: 'f {x}', task_inputs: { x: 0..1..0.0000000000000000001 } }
`,
    problems: [
      'spec_range 2:41 tasks.a.task_inputs.x: the range "0..1..0.0000000000000000001" has 10000000000000000001 values; the limit is 10000000',
    ],
  },
  {
    title: "a cycle",
    yaml: `tasks:
  a: { command: x, needs: [c] }
  b: { command: x, needs: [a] }
  c: { command: x, foreach: [b] }
  d: { command: x, needs: [c] }
`,
    problems: ["spec_cycle 2:3 tasks.a: these tasks wait for each other in a circle: a → c → b → a"],
  },
  {
    title: "a task that waits for itself",
    yaml: `tasks:
  a: { command: x, needs: [a] }
`,
    problems: ["spec_cycle 2:28 tasks.a.needs[0]: a waits for itself"],
  },
  {
    title: "an unknown need",
    yaml: `tasks:
  dock: { command: x }
  b: { command: x, needs: [dok] }
`,
    problems: ["spec_reference 3:28 tasks.b.needs[0]: b has the unknown task dok under needs; did you mean dock?"],
  },
  {
    title: "a parent that is named twice",
    yaml: `tasks:
  a: { command: x }
  b: { command: x, foreach: [a], needs: [a] }
`,
    problems: ["spec_conflict 3:42 tasks.b.needs[0]: b names a twice under foreach and needs; once is enough"],
  },
  {
    title: "foreach over unequal numbers",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..3 } }
  b: { command: x, task_inputs: { j: 1..4 } }
  c: { command: x, foreach: [a, b] }
`,
    problems: [
      "spec_conflict 4:20 tasks.c.foreach: a has 3 tasks and b has 4; foreach pairs them one to one and needs equal numbers",
    ],
  },
  {
    title: "foreach with parents' inputs of one name",
    yaml: `tasks:
  a: { command: x, task_inputs: { i: 1..3 } }
  b: { command: x, task_inputs: { i: 2..4 } }
  c: { command: x, foreach: [a, b] }
`,
    problems: [
      "spec_conflict 4:20 tasks.c.foreach: the parents of c have different inputs of the same name i; rename one of them",
    ],
  },
  {
    title: "foreach with inputs of its own",
    yaml: `tasks:
  a: { command: x }
  b: { command: x, foreach: [a], task_inputs: { i: 1..3 } }
`,
    problems: [
      "spec_not_supported 3:34 tasks.b.task_inputs: task_inputs beside foreach is not supported yet; a foreach task has its parents' inputs",
    ],
  },
];
