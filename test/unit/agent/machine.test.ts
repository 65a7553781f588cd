/** What the agent reads off its machine, and what it makes of an end: resources, environment, proxies, blame. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { tailText } from "../../../agent/run/collect.ts";
import { baseEnvironment } from "../../../agent/run/environment.ts";
import { attemptEnd } from "../../../agent/run/outcome.ts";
import { type PreparedRun, prepareRun, runRequest } from "../../../agent/run/prepare.ts";
import { findResources } from "../../../agent/run/resources.ts";
import type { EndedEvent } from "../../../agent/run/supervisor/contract.ts";
import { proxyFor } from "../../../agent/session/proxy.ts";
import { Blame, Outcome } from "../../../shared/model/attempt.ts";

let directory: string;
let machines = 0;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "airavata-machine-"));
});
after(() => rm(directory, { recursive: true, force: true }));

/** A root directory with these files below /proc and /sys. */
async function machine(files: Record<string, string>): Promise<string> {
  const root = join(directory, String(++machines));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

const PLAIN = {
  "/proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-3,8\n",
  "/proc/meminfo": "MemTotal:       16384 kB\n",
};
const UNSTATED = { labels: [], custom: [] };

test("processors come from affinity, memory from the machine, disk from the directory", async () => {
  const { capacity, gpuDevices } = await findResources(directory, UNSTATED, await machine(PLAIN));
  assert.equal(capacity.cpus, 5);
  assert.equal(capacity.memoryBytes, 16 * 1024 * 1024);
  assert.ok(capacity.diskBytes > 0);
  assert.deepEqual([capacity.gpus, gpuDevices], [0, []]);
});

test("the tightest cgroup on the way up bounds both, in version 2", async () => {
  const root = await machine({
    ...PLAIN,
    "/proc/self/cgroup": "0::/slice/job\n",
    "/sys/fs/cgroup/slice/job/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/slice/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/slice/job/memory.max": "8388608\n",
    "/sys/fs/cgroup/slice/memory.max": "max\n",
  });
  const { capacity } = await findResources(directory, UNSTATED, root);
  assert.deepEqual([capacity.cpus, capacity.memoryBytes], [1.5, 8_388_608]);
});

test("and in version 1, where no limit is a very large one", async () => {
  const root = await machine({
    ...PLAIN,
    "/proc/self/cgroup": "4:memory:/job\n2:cpu,cpuacct:/job\n",
    "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000\n",
    "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "4194304\n",
  });
  const { capacity } = await findResources(directory, UNSTATED, root);
  assert.deepEqual([capacity.cpus, capacity.memoryBytes], [2, 4_194_304]);
});

test("what is stated wins; a custom amount must be a number", async () => {
  const stated = { cpus: 3, memoryBytes: 5, gpus: 2, vramBytes: 7, diskBytes: 9, labels: ["a=b=c"], custom: ["lic=2"] };
  const { capacity, gpuDevices } = await findResources(directory, stated, await machine(PLAIN));
  const { cpus, memoryBytes, gpus, vramBytes, diskBytes, labels, custom } = capacity;
  assert.deepEqual([cpus, memoryBytes, gpus, vramBytes, diskBytes], [3, 5, 2, 7, 9]);
  assert.deepEqual([labels, custom, gpuDevices], [{ a: "b=c" }, { lic: 2 }, [0, 1]]);
  const wrong = findResources(directory, { labels: [], custom: ["lic=many"] }, await machine(PLAIN));
  await assert.rejects(wrong, { code: "setting_invalid" });
});

test("environments are built from nothing; only named variables get through", () => {
  const own = { PATH: "/agent", AIRAVATA_ENROLMENT_TOKEN: "secret", MODULEPATH: "/modules", HOME: "/agent-home" };
  const base = baseEnvironment(["MODULEPATH", "NOT_SET"], own);
  const textOf = (list: typeof base, name: string) => list.find((variable) => variable.name === name)?.text;
  assert.deepEqual(base.map(({ name }) => name).sort(), [
    "HOME",
    "LANG",
    "LOGNAME",
    "MODULEPATH",
    "PATH",
    "SHELL",
    "TMPDIR",
    "USER",
  ]);
  assert.notEqual(textOf(base, "PATH"), "PATH=/agent");
  assert.equal(textOf(base, "MODULEPATH"), "MODULEPATH=/modules");
  assert.equal(textOf(baseEnvironment(["PATH"], own), "PATH"), "PATH=/agent");
});

test("a task's own variables come over the base, and its gpus over both", () => {
  const base = baseEnvironment([], { HOME: "/agent-home" });
  const environment = { HOME: ["/task"], CUDA_VISIBLE_DEVICES: ["7"] };
  const definition = { ordinal: 0, name: "t", inputs: [], references: [], environment, requires: { wallSeconds: 1 } };
  const leased = { definition: { ...definition, command: { kind: "argv", argv: [["x"]] } }, parameters: {} };
  const lease = { key: "1.0.0.1", experiment: 1, index: 0, attempt: 1, leased, devices: [1, 3] };
  const templates = { saved: () => "" };
  const prepared = prepareRun(lease as never, { outputDir: "/o", templates: templates as never, base, wall: Date.now });
  const variables = (machineHasGpus: boolean): string[] => {
    const { env } = runRequest("1.0.0.1", prepared as PreparedRun, lease as never, machineHasGpus);
    return (env as string[]).filter((text) => /^(HOME|CUDA_VISIBLE_DEVICES)=/.test(text)).sort();
  };
  assert.deepEqual(variables(true), ["CUDA_VISIBLE_DEVICES=1,3", "HOME=/task"]);
  assert.deepEqual(variables(false), ["CUDA_VISIBLE_DEVICES=7", "HOME=/task"]);
});

const proxies: [string, Record<string, string>, string | undefined][] = [
  ["https://a.example", { HTTPS_PROXY: "http://p:3128" }, "http://p:3128/"],
  ["wss://a.example", { https_proxy: "p:3128" }, "http://p:3128/"],
  ["ws://a.example", { HTTPS_PROXY: "http://p:3128" }, undefined],
  ["ws://a.example", { ALL_PROXY: "http://p:3128" }, "http://p:3128/"],
  ["ws://a.example", { HTTP_PROXY: "http://p:3128", NO_PROXY: "b.example, .example" }, undefined],
  ["ws://a.example", { HTTP_PROXY: "http://p:3128", no_proxy: "xa.example" }, "http://p:3128/"],
  ["ws://a.example:81", { HTTP_PROXY: "http://p:3128", no_proxy: "a.example:80" }, "http://p:3128/"],
  ["ws://127.0.0.1", { HTTP_PROXY: "http://p:3128", no_proxy: "*" }, undefined],
];
for (const [url, env, proxy] of proxies) {
  test(`${url} with ${JSON.stringify(env)} goes ${proxy ? `through ${proxy}` : "directly"}`, () => {
    assert.equal(proxyFor(new URL(url), env)?.href, proxy);
  });
}

test("a proxy of another kind is refused with the way out", () => {
  assert.throws(() => proxyFor(new URL("wss://a.example"), { HTTPS_PROXY: "socks5://p:1" }), {
    code: "setting_invalid",
    message: /NO_PROXY=a\.example/,
  });
});

const ENDED: EndedEvent = {
  type: "ended",
  key: "17.0.0.1",
  lane: 0,
  cause: "exit",
  exitCode: 0,
  signal: null,
  stage: null,
  errno: 0,
  startedAtMs: 10,
  endedAtMs: 20,
  durationMs: 10,
  cpuMs: 1.4,
  maxRssBytes: 100,
  readBytes: 0,
  writtenBytes: 0,
  stdout: { bytes: 0, inline: null, truncated: false },
  stderr: { bytes: 0, inline: null, truncated: false },
  coreDumped: false,
  folderEmpty: false,
  leftBehind: 0,
};
const CALM = { oomKilled: false, freeBytes: 2 ** 40 };
const { errno, signals } = constants;

const verdicts: [string, Partial<EndedEvent>, Partial<typeof CALM>, Outcome, Blame][] = [
  ["exit 0", {}, {}, Outcome.COMPLETED, Blame.NONE],
  ["exit 3", { exitCode: 3 }, {}, Outcome.FAILED, Blame.EXIT],
  ["exit 3 on a full disk", { exitCode: 3 }, { freeBytes: 0 }, Outcome.FAILED, Blame.DISK],
  ["exit 0 on a full disk", {}, { freeBytes: 0 }, Outcome.COMPLETED, Blame.NONE],
  [
    "SIGSEGV",
    { cause: "signal", exitCode: null, signal: signals.SIGSEGV },
    { oomKilled: true },
    Outcome.FAILED,
    Blame.SIGNAL,
  ],
  ["SIGKILL by nobody", { cause: "signal", exitCode: null, signal: signals.SIGKILL }, {}, Outcome.FAILED, Blame.SIGNAL],
  [
    "SIGKILL for memory",
    { cause: "signal", exitCode: null, signal: signals.SIGKILL },
    { oomKilled: true },
    Outcome.FAILED,
    Blame.OOM,
  ],
  ["its time limit", { cause: "timeout", exitCode: null, signal: 15 }, {}, Outcome.FAILED, Blame.TIMEOUT],
  ["a kill", { cause: "killed", exitCode: null, signal: 15 }, {}, Outcome.CANCELED, Blame.CANCELED],
  ["output that could not be kept", { cause: "disk", errno: errno.ENOSPC }, {}, Outcome.FAILED, Blame.DISK],
  ["output into a directory that it removed", { cause: "disk", errno: errno.ENOENT }, {}, Outcome.FAILED, Blame.OUTPUT],
  ["output without a descriptor", { cause: "disk", errno: errno.EMFILE }, {}, Outcome.FAILED, Blame.AGENT],
  ["a dead runner", { cause: "runner_lost", exitCode: null }, {}, Outcome.FAILED, Blame.RUNNER_LOST],
  ["no such program", { cause: "spawn", stage: "exec", errno: errno.ENOENT }, {}, Outcome.FAILED, Blame.SPAWN],
  ["no memory for exec", { cause: "spawn", stage: "exec", errno: errno.ENOMEM }, {}, Outcome.FAILED, Blame.AGENT],
  ["no process to be had", { cause: "spawn", stage: "fork", errno: errno.EAGAIN }, {}, Outcome.FAILED, Blame.AGENT],
  ["no room for its start", { cause: "spawn", stage: "stdio", errno: errno.ENOSPC }, {}, Outcome.FAILED, Blame.DISK],
];
for (const [name, event, evidence, outcome, blame] of verdicts) {
  test(`${name}: outcome ${outcome}, blame ${blame}`, () => {
    const end = attemptEnd("17.0.0.1", { ...ENDED, ...event }, { ...CALM, ...evidence });
    assert.deepEqual([end.outcome, end.blame], [outcome, blame]);
    for (const field of ["startedAtMs", "endedAtMs", "cpuMs", "memoryMaxBytes"] as const) {
      assert.ok(Number.isSafeInteger(end[field]));
    }
  });
}

test("a tail is the last 4 KiB, fits when its bytes are no text, and holds no NUL", () => {
  assert.equal(tailText(Buffer.from(`${"x".repeat(5_000)}end`)).length, 4_096);
  assert.ok(tailText(Buffer.from(`${"x".repeat(5_000)}end`)).endsWith("end"));
  assert.ok(Buffer.byteLength(tailText(Buffer.alloc(5_000, 0xff))) <= 4_096);
  assert.equal(tailText(Buffer.from("a\0b")), "a\uFFFDb");
});
