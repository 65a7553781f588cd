/**
 * A node's first start as deploy/systemd/airavata-worker.service does it: the program comes from the coordinator with its
 * checksum, enrols with the token of its environment, and later starts need none. What is not right is not installed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Exit } from "../../shared/error/exit.ts";
import { removeAgentDirectory } from "../support/agent.ts";
import { until } from "../support/agent-peer.ts";
import { programText, publish } from "../support/agent-release.ts";
import { ROOT } from "../support/cli.ts";
import { startTestCoordinator, type TestCoordinator } from "../support/coordinator.ts";

const INSTALL = join(ROOT, "deploy", "install-agent.sh");
const UNIT = readFileSync(join(ROOT, "deploy", "systemd", "airavata-worker.service"), "utf8");
const LIMIT_MS = 60_000;

async function stage(t: TestContext): Promise<{ at: TestCoordinator; directory: string; releases: string }> {
  const directory = mkdtempSync(join(tmpdir(), "airavata-install-"));
  const releases = join(directory, "releases");
  mkdirSync(releases);
  // Where it lies on a node no path has a space; the checkout's may.
  copyFileSync(INSTALL, join(directory, "install-agent.sh"));
  const at = await startTestCoordinator(t, { agentReleases: releases });
  at.defer(() => removeAgentDirectory(directory));
  return { at, directory, releases };
}

async function run(words: string[], env: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const [program = "", ...rest] = words;
  const child = spawn(program, rest, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
  }
  await once(child, "close");
  return { code: child.exitCode, said };
}

/** The command of a line of the unit, with its paths moved into the test's directory. */
function unitCommand(name: string, directory: string): string[] {
  const line = new RegExp(`^${name}=(.*)$`, "m").exec(UNIT)?.[1] ?? "";
  const moved = line
    .replaceAll("/var/lib/airavata-worker", directory)
    .replaceAll("/usr/local/lib/airavata/install-agent.sh", join(directory, "install-agent.sh"));
  return [...moved.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? "");
}

test("the unit installs, enrols and starts an agent by itself; later starts need no token; a spent token is told once", async (t) => {
  const { at, directory, releases } = await stage(t);
  publish(releases, "1.2.0", await programText("1.2.0"));
  const { token } = await at.client.call("createEnrolmentToken", {});
  const env = { API_URL: at.url, WORKER_ID: "node-12", OUTPUT_DIR: join(directory, "out"), AIRAVATA_CPUS: "1" };
  const installed = await run(unitCommand("ExecStartPre", directory), env);
  assert.deepEqual([installed.code, /airavata 1\.2\.0 is installed/.test(installed.said)], [0, true], installed.said);
  assert.deepEqual(readdirSync(join(directory, "bin")), ["airavata"]);

  const names = async () => (await at.client.call("listAgents", {})).items.map(({ name, state }) => `${name} ${state}`);
  for (const secret of [{ AIRAVATA_ENROLMENT_TOKEN: token }, { AIRAVATA_ENROLMENT_TOKEN: token }, {}]) {
    const [program = "", ...words] = unitCommand("ExecStart", directory);
    assert.equal(
      (await run(unitCommand("ExecStartPre", directory), env)).said,
      "",
      "what is there is not fetched again",
    );
    const agent = spawn(program, words, { env: { PATH: process.env.PATH, ...env, ...secret }, stdio: "ignore" });
    await until(async () => (await names()).includes("node-12 READY"), "its session", LIMIT_MS);
    agent.kill("SIGTERM");
    await once(agent, "exit");
    assert.equal(agent.exitCode, Exit.DONE);
    await until(async () => !(await names()).includes("node-12 READY"), "its end", LIMIT_MS);
  }
  assert.equal((await names()).length, 1);

  const other = { ...env, WORKER_ID: "node-13", OUTPUT_DIR: join(directory, "other"), AIRAVATA_ENROLMENT_TOKEN: token };
  const refused = await run(unitCommand("ExecStart", directory), other);
  assert.match(refused.said, /the enrolment token was used by another agent: create a new one/);
  const final = /^RestartPreventExitStatus=(.*)$/m.exec(UNIT)?.[1]?.split(" ").map(Number) ?? [];
  assert.ok(final.includes(refused.code ?? -1), `exit code ${refused.code} must not be started again`);
});

test("a program that is not what its checksum says, or not the operator's, or does not start, is not installed", async (t) => {
  const { at, directory, releases } = await stage(t);
  const target = join(directory, "airavata");
  writeFileSync(target, "the former one");
  const install = (env: Record<string, string> = {}) => run(["sh", INSTALL, target], { API_URL: at.url, ...env });
  const untouched = async (result: Promise<{ code: number | null; said: string }>, sentence: RegExp) => {
    const { code, said } = await result;
    assert.equal(code, 1);
    assert.match(said, sentence);
    assert.equal(readFileSync(target, "utf8"), "the former one");
    assert.deepEqual(
      readdirSync(directory).filter((name) => name.startsWith(".airavata")),
      [],
    );
  };
  await untouched(install(), /the checksum cannot be fetched/);
  publish(releases, "1.0.0", "#!/bin/sh\necho 1.0.0\n", { sha256: "0".repeat(64) });
  await untouched(install(), /the SHA-256 of what came is [0-9a-f]{64}, not 0{64}: nothing was installed/);
  publish(releases, "1.1.0", "#!/bin/sh\nexit 1\n");
  await untouched(install(), /does not start on this machine/);
  publish(releases, "1.2.0", "#!/bin/sh\necho 1.2.0\n");
  await untouched(
    install({ AIRAVATA_SHA256: "1".repeat(64) }),
    /offers a program with SHA-256 [0-9a-f]{64}, not 1{64}/,
  );
  assert.deepEqual((await install()).code, 0);
  assert.match(readFileSync(target, "utf8"), /echo 1\.2\.0/);
  rmSync(target);
  const { said } = await install({ AIRAVATA_VERSION: "1.2.0" });
  assert.match(said, /airavata 1\.2\.0 is installed as/);
  assert.ok(existsSync(target));
});
