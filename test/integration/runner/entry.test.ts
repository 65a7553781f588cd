/** The supervisor as the entry of a container or batch script: it starts the agent, again when it dies, and ends with it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import { alive, type Bench, bench, RUNNER, until } from "./harness.ts";

function entry(t: TestContext, b: Bench, text: string): { child: ChildProcess; exit: Promise<number | null> } {
  const child = spawn(RUNNER, ["supervise", b.stateDir, "--agent", "/bin/sh", "-c", text], {
    stdio: "inherit",
    cwd: b.root,
  });
  t.after(() => child.kill("SIGKILL"));
  return { child, exit: new Promise((resolve) => child.once("exit", (code) => resolve(code))) };
}

function lines(b: Bench, name: string): string[] {
  return existsSync(b.file(name)) ? readFileSync(b.file(name), "utf8").trimEnd().split("\n") : [];
}

test("an agent that dies is started again, with growing pauses; tasks live on; exit 0 ends it", async (t) => {
  const b = bench(t);
  const { exit } = entry(
    t,
    b,
    `cd ${b.root}; date +%s%N >> starts; while [ ! -e die ]; do sleep 0.01; done; rm die; [ $(wc -l < starts) -lt 3 ] && kill -9 $$; exit 0`,
  );
  await until(() => lines(b, "starts").length === 1 && existsSync(`${b.stateDir}/supervisor.sock`), "the first start");
  await b.open();
  const key = b.start("echo $$ > pid1; while [ ! -e go ]; do sleep 0.01; done");
  const pid = await b.number("pid1");
  const die = () => b.shell("echo > die", { lane: 1 });
  await die();
  await until(() => lines(b, "starts").length === 2, "the second start");
  await die();
  await until(() => lines(b, "starts").length === 3, "the third start");
  assert.ok(alive(pid));
  const [first, second, third] = lines(b, "starts").map((line) => Number(line) / 1e6) as [number, number, number];
  assert.ok(second - first >= 250 && third - second >= 500, `${second - first} ${third - second}`);
  await b.shell("echo > go", { lane: 1 });
  await b.end(key);
  /* A client that stays would start the next supervisor itself. */
  const last = b.request(["/bin/sh", "-c", "echo > die"]);
  b.client.run(1, last);
  await b.end(last.key);
  await b.client.close();
  assert.equal(await exit, 0);
});

test("SIGTERM goes to the agent, and its exit status is the entry's", async (t) => {
  const b = bench(t);
  const { child, exit } = entry(t, b, `cd ${b.root}; trap 'exit 42' TERM; echo x > up; while :; do sleep 0.01; done`);
  await until(() => existsSync(b.file("up")), "the agent's start");
  child.kill("SIGTERM");
  assert.equal(await exit, 42);
  assert.equal(lines(b, "up").length, 1);
});

test("a state directory that has a supervisor is refused with the owner's pid", async (t) => {
  const b = bench(t);
  await b.open();
  const child = spawn(RUNNER, ["supervise", b.stateDir], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 3);
  assert.match(said, new RegExp(`already has a supervisor \\(pid ${b.supervisorPid()} `));
});
