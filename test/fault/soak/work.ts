/**
 * What the soak lets run: experiments of a hundred tasks or more, of every kind. Each task says in one shared file
 * when it begins and ends, with its attempt, its process and that process's start: so that what was run in vain, what was
 * run twice and what was killed can be told apart afterwards, whatever the system itself says.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Tasks per thousand, by template; the rest is `argv`. */
const SHELL = 200;
const SLOW = 12;
const FLAKY = 40;
/** Every so many experiments `later` reads a file of its parent, which ties all of the experiment to one agent. */
const TIED_EVERY = 5;

/** Sourced by every task: `note WORD` appends one line, far below PIPE_BUF, so that lines never mix. */
const NOTES = `read -r stat < /proc/$$/stat
set -- \${stat##*) }
said="$AIRAVATA_TASK_ID $AIRAVATA_ATTEMPT $$ \${20}"
note() { printf '%s %s\\n' "$1" "$said" >> "$LEDGER"; }
`;

const ARGV = `. "$NOTES"
note begin
note end
`;

/** 20 to 60 ms, and a file that counts as an output. */
const SHELL_LINE = `. "$NOTES"
note begin
sleep 0.0$((20 + AIRAVATA_TASK_INDEX % 40))
echo "$AIRAVATA_TASK_ID" > out.txt
note end`;

/** 1 to 10 s: there is always one that outlives whoever was killed, and some outlive a session. */
const SLOW_LINE = `. "$NOTES"
note begin
sleep $((1 + (AIRAVATA_EXPERIMENT_ID + 3 * AIRAVATA_TASK_INDEX) % 10))
note end`;

/** Fails the first time it gets so far. */
const FLAKY_LINE = `. "$NOTES"
note begin
mark="$MARKS/$AIRAVATA_TASK_ID"
if [ -e "$mark" ]; then note end; else : > "$mark"; note fail; exit 1; fi`;

const LATER_TIED = `. "$NOTES"
note begin
grep -q . {shell.OUT}
note end`;

const LATER_FREE = `. "$NOTES"
note begin
note end`;

export class Work {
  readonly ledger: string;
  readonly #argv: string;
  readonly #environment: Record<string, string>;

  constructor(directory: string) {
    this.ledger = join(directory, "ledger");
    this.#argv = join(directory, "argv.sh");
    const notes = join(directory, "notes.sh");
    const marks = join(directory, "marks");
    this.#environment = { LEDGER: this.ledger, NOTES: notes, MARKS: marks };
    mkdirSync(marks);
    writeFileSync(this.ledger, "");
    writeFileSync(notes, NOTES);
    writeFileSync(this.#argv, ARGV);
  }

  /** The spec of experiment `number`, of `tasks` tasks in all (at least 100). */
  spec(number: number, tasks: number): Record<string, unknown> {
    const of = (perThousand: number): number => Math.max(1, Math.round((perThousand * tasks) / 1_000));
    const [shell, slow, flaky] = [of(SHELL), of(SLOW), of(FLAKY)];
    const argv = tasks - 2 * shell - slow - flaky - 1;
    const inputs = (count: number) => ({ task_inputs: { i: `1..${count}` } });
    const requires = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
    return {
      name: `soak-${number}`,
      tasks: {
        argv: { argv: ["/bin/sh", this.#argv], ...inputs(argv), requires },
        shell: { command: SHELL_LINE, ...inputs(shell), task_outputs: { OUT: "out.txt" }, requires },
        slow: { command: SLOW_LINE, ...inputs(slow), requires },
        flaky: { command: FLAKY_LINE, ...inputs(flaky), retries: { max: 3, on: ["exit"] }, requires },
        later: { command: number % TIED_EVERY === 0 ? LATER_TIED : LATER_FREE, foreach: ["shell"], requires },
        after: { command: LATER_FREE, needs: ["argv", "slow", "flaky", "later"], requires },
      },
      resources: { environment: this.#environment },
    };
  }
}
