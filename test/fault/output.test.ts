/** What a task writes is bounded, in memory and on disk, and what it names as output stays beneath its directory. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ApiError } from "../../shared/api/client.ts";
import { OUTPUT_KEPT_BYTES } from "../../shared/model/constants.ts";
import { memoryOf, runnerProcesses } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";

const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0 };
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const PRINTED_BYTES = 2_000_000_000;

test("a task that prints 2 GB grows no process; its log has head, tail and a sentence between", async (t) => {
  await FaultStack.with({}, async (stack) => {
    const submit = (bytes: number): Promise<number> =>
      stack.submit({
        tasks: {
          loud: { command: `echo first; yes | head -c ${bytes}; echo last; echo why >&2`, requires: REQUIRES },
        },
      });
    // What a process needs for its first task and log anyway is no growth.
    const small = await submit(100_000);
    await stack.ended(small);
    await stack.log(`${small}.loud.0`);
    const watched = everyProcess(stack);
    for (const { pid } of watched) writeFileSync(`/proc/${pid}/clear_refs`, "5");
    const before = watched.map(({ pid }) => memoryOf(pid).nowBytes);

    const large = await submit(PRINTED_BYTES);
    assert.equal((await stack.ended(large, 180_000)).state, "COMPLETED");
    const task = `${large}.loud.0`;
    const { text, totalBytes } = await stack.log(task);
    assert.equal(text.length, totalBytes);
    assert.ok(totalBytes <= OUTPUT_KEPT_BYTES, `${totalBytes} bytes are kept`);
    assert.ok(text.startsWith("first\ny\ny\n"));
    assert.ok(text.endsWith("\ny\ny\nlast\n"), text.slice(-20));
    // The sentence is UTF-8, and the text was read byte by byte.
    const [, left] = /\n\[\S+ (\d+) bytes left out \S+\]\n/.exec(text) ?? [];
    assert.ok(Number(left) > PRINTED_BYTES - OUTPUT_KEPT_BYTES, `${left} bytes are said to be left out`);
    assert.equal((await stack.log(task, { offset: totalBytes - 5 })).text, "last\n");
    assert.equal((await stack.log(task, { stream: "stderr" })).text, "why\n");

    for (const [i, { name, pid }] of watched.entries()) {
      const grown = memoryOf(pid).mostBytes - (before[i] as number);
      t.diagnostic(`${name} grew by ${Math.round(grown / 1e6)} MB`);
      assert.ok(grown < GROWTH_BYTES_MAX, `${name} grew by ${grown} bytes`);
    }
  });
});

test("an output that is a link to a file outside fails its task and is never served", async () => {
  await FaultStack.with({}, async (stack) => {
    const secret = join(stack.directory, "secret");
    writeFileSync(secret, "nobody's business\n");
    const id = await stack.submit({
      tasks: {
        leak: {
          command: `ln -s ${secret} file.txt; mkdir d; ln -s ${stack.directory} d/up; echo fine > fine.txt`,
          task_outputs: { LINK: "file.txt" },
          requires: REQUIRES,
        },
        nested: {
          command: `mkdir d; ln -s ${secret} d/file.txt; echo fine > d/fine.txt`,
          task_outputs: { ALL: "d/*.txt" },
          requires: REQUIRES,
        },
      },
    });
    assert.equal((await stack.ended(id)).state, "FAILED");
    const attempt = await stack.lastAttempt(`${id}.leak.0`);
    assert.equal(attempt.blame, "output");
    assert.match(attempt.detail ?? "", /LINK is refused: "file\.txt" leads outside/);
    for (const path of ["leak/0/file.txt", "leak/0/d/up/secret", "nested/0/d/file.txt"]) {
      await assert.rejects(
        stack.client.open("readOutput", { params: { experiment: id, path } }),
        (error: ApiError) => error.status >= 400 && error.status < 500,
        path,
      );
    }
  });
});

function everyProcess(stack: FaultStack): { name: string; pid: number }[] {
  return [
    { name: "the coordinator", pid: stack.coordinator.pid },
    { name: "the agent", pid: stack.agent.pid },
    ...runnerProcesses(stack.outputDir, "supervise").map((pid) => ({ name: "the supervisor", pid })),
    ...runnerProcesses(stack.outputDir, "run").map((pid) => ({ name: "a runner", pid })),
  ];
}
