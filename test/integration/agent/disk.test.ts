/** A full disk costs the task that filled it, with that blame; the agent lives, keeps its outbox and goes on afterwards. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { AttemptEnd } from "../../../agent/report/end.ts";
import { Outbox } from "../../../agent/report/outbox.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";
import { agentDirectory, removeAgentDirectory, startAgent } from "../../support/agent.ts";
import { FakeCoordinator } from "../../support/agent-coordinator.ts";
import { shell, template } from "../../support/agent-templates.ts";
import { needs } from "../../support/services.ts";

const skip = needs("root");
let directory: string;

beforeEach(async () => {
  directory = await agentDirectory();
  if (skip === false) execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", directory]);
});

afterEach(async () => {
  if (skip === false) execFileSync("umount", ["-l", directory]);
  await removeAgentDirectory(directory);
});

/** Writes until nothing more fits. */
async function fill(path: string): Promise<void> {
  try {
    await writeFile(path, Buffer.alloc(16 * 1024 * 1024));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
  }
  for (let bytes = 4096; bytes > 0; bytes = Math.floor(bytes / 2)) {
    await writeFile(path, Buffer.alloc(bytes), { flag: "a" }).catch(() => {});
  }
}

test("a task that fills the disk is blamed for it; nothing else is lost, and room lets work go on", {
  skip,
}, async () => {
  const coordinator = new FakeCoordinator();
  await coordinator.start();
  const agent = await startAgent(coordinator.url, directory);
  try {
    await coordinator.message("free");
    coordinator.lease(1, template({ command: shell("cat /dev/zero > big") }), [0]);
    await coordinator.until("its end", () => coordinator.ends.length === 1);
    assert.deepEqual([coordinator.ends[0]?.outcome, coordinator.ends[0]?.blame], [Outcome.FAILED, Blame.DISK]);
    const credit = (): number | undefined =>
      coordinator.received.filter((message) => message.type === "free").at(-1)?.ahead;
    await coordinator.until("nothing is asked for", () => credit() === -1);
    // What is leased all the same goes back at once: another agent may have room.
    const later = template({ ordinal: 1, command: shell("echo fine") });
    coordinator.lease(1, later, [1]);
    await coordinator.until("it is given back", () => coordinator.ends[1]?.outcome === Outcome.RELEASED);
    await rm(join(directory, ".attempts/1/work/0/1/big"));
    await coordinator.until("something is asked for", () => (credit() ?? 0) > 0);
    coordinator.lease(1, later, [1], { attempts: [2] });
    await coordinator.until("its end", () => coordinator.ends.length === 3);
    assert.equal(coordinator.ends[2]?.outcome, Outcome.COMPLETED);
  } finally {
    await agent.stop();
    await coordinator.stop();
  }
});

test("ends that cannot be written wait in memory and are written when there is room", { skip }, async () => {
  const path = join(directory, "outbox.log");
  const troubles: (string | null)[] = [];
  const outbox = await Outbox.open({ path, onTrouble: (reason) => troubles.push(reason) });
  const end = (index: number): AttemptEnd => {
    const times = { startedAtMs: 1, endedAtMs: 2, cpuMs: 3, memoryMaxBytes: 4 };
    return { key: `1.0.${index}.1`, outcome: 0, blame: 0, exitCode: 0, signal: 0, ...times, detail: "x".repeat(500) };
  };
  outbox.append([end(0)]);
  await outbox.flushed();
  await fill(join(directory, "big"));
  outbox.append(Array.from({ length: 100 }, (_, i) => end(i + 1)));
  await outbox.flushed();
  assert.match(troubles[0] ?? "", /cannot be written.*ENOSPC/);
  // Whatever the disk took of it, a process that died now would find whole records only.
  const snapshot = join(directory, "..", `outbox-${process.pid}.log`);
  await writeFile(snapshot, await readFile(path));
  const found = await Outbox.open({ path: snapshot, onTrouble: () => {} });
  assert.equal(found.ends()[0]?.key, "1.0.0.1");
  await found.close();
  await rm(snapshot);
  await rm(join(directory, "big"));
  await outbox.flushed();
  assert.equal(troubles.at(-1), null);
  await outbox.close();
  const again = await Outbox.open({ path, onTrouble: () => {} });
  assert.deepEqual(
    again.ends().map(({ key }) => key),
    Array.from({ length: 101 }, (_, i) => `1.0.${i}.1`),
  );
  await again.close();
});
