/**
 * A full disk: the task that filled it fails with that blame, the agent lives through it and through a coordinator that
 * is away meanwhile, no end is lost, and with room the rest of the work is done.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { judge, Ledger } from "../support/fault-ledger.ts";
import { until } from "../support/fault-process.ts";
import { FaultStack } from "../support/fault-stack.ts";
import { needs } from "../support/services.ts";

const REQUIRES = { cpu: 1, ram_gb: 0.01, disk_gb: 0, time: "10m" };
const DISK = "32m";

test("a full disk is blamed on the disk, costs no other end, and is over when there is room", {
  skip: needs("root"),
}, async () => {
  const outputDir = mkdtempSync(join(tmpdir(), "airavata-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK}`, "tmpfs", outputDir]);
  try {
    const coordinatorWords = ["--infrastructure-retries", "0"];
    await FaultStack.with({ outputDir, coordinatorWords }, (stack) => fullDisk(stack));
  } finally {
    execFileSync("umount", ["-l", outputDir]);
    rmdirSync(outputDir);
  }
});

async function fullDisk(stack: FaultStack): Promise<void> {
  const ledger = new Ledger(join(stack.directory, "ledger"));
  const go = join(stack.directory, "go");
  const environment = { LEDGER: ledger.path, GO: go };
  const work = `while [ ! -e "$GO.$AIRAVATA_TASK_INDEX" ]; do sleep 0.02; done`;
  const waiting = await stack.submit({
    tasks: { waiting: { command: Ledger.command(work), requires: REQUIRES } },
    resources: { environment },
  });
  await until("the waiting task runs", () => ledger.lines("begin").size === 1);

  const filling = await stack.submit({
    tasks: { filling: { command: "cat /dev/zero > big", requires: REQUIRES, retries: { max: 5, on: ["exit"] } } },
  });
  assert.equal((await stack.ended(filling)).state, "FAILED");
  const attempts = await stack.attempts(`${filling}.filling.0`);
  assert.deepEqual(
    attempts.map(({ blame, charged_to }) => [blame, charged_to]),
    [["disk", "infrastructure"]],
  );
  assert.equal(freeBytes(stack.outputDir), 0);

  // The coordinator is away while the other one ends, and the disk stays full.
  const log = (): string => readFileSync(stack.agent.command.log, "utf8");
  await until("the agent says that its disk is full", () => log().includes("nothing is started until there is room"));
  await stack.coordinator.kill("SIGKILL");
  writeFileSync(`${go}.0`, "");
  await until("the waiting task has ended", () => ledger.lines("end").size === 1);
  stack.coordinator.start();
  await stack.leads();
  assert.equal((await stack.ended(waiting)).state, "COMPLETED");
  const { contradictions, ends } = await judge(stack, waiting, 1, ledger);
  assert.deepEqual(contradictions, []);
  assert.deepEqual(ends, { "COMPLETED none": 1 });

  // Nothing is started there, and nobody pays for it; an agent that dies now says what is to be done.
  const later = await stack.submit({ tasks: { later: { command: "echo fine > fine.txt", requires: REQUIRES } } });
  assert.equal(stack.agent.ended, undefined);
  await stack.agent.kill("SIGKILL");
  stack.agent.start();
  assert.notEqual(await stack.agent.gone(), 0);
  assert.match(log(), /is full \(ENOSPC\): make room and start the agent again/);

  rmSync(join(stack.outputDir, `.attempts/${filling}/filling/0/1/big`));
  stack.agent.start();
  assert.equal((await stack.ended(later)).state, "COMPLETED");
  const last = await stack.lastAttempt(`${later}.later.0`);
  assert.deepEqual([last.attempt, last.charged_to], [1, "none"]);
  assert.equal(readFileSync(join(stack.outputDir, `${later}/later/0/fine.txt`), "utf8"), "fine\n");
  assert.equal(stack.agent.ended, undefined);
  assert.ok(existsSync(join(stack.outputDir, "state/outbox.log")));
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}
