/** `airavata agent update`: begins and watches rollouts of the agent program, and says which agents take which. */
import type { Client } from "../../../shared/api/client.ts";
import type { RolloutDetail } from "../../../shared/api/release.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { Exit } from "../../../shared/error/exit.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { type Column, renderTable } from "../table.ts";
import { findAgent } from "./agent.ts";
import type { CommandSpec } from "./tree.ts";

/** Between two looks at a rollout that is watched. */
const LOOK_MS = 1_000;

export const AGENT_UPDATE: CommandSpec = {
  usage: "update [agents...]",
  description:
    "put another version of the agent program in place, one agent first; without agents show the latest rollout",
  options: [
    ["--all", "all agents that are connected"],
    ["--to <version>", "this version instead of the newest one"],
    ["--watch", "show how far it is until it ends"],
    ["--stop", "update nobody else; who is under way goes on"],
    ["--pin <version>", "update these agents to this version only, from now on"],
    ["--refuse", "never update these agents"],
    ["--unpin", "take back --pin and --refuse"],
    ["--releases", "list the releases that the coordinator gives out"],
  ],
  examples: [
    "agent update --releases",
    "agent update --all --watch",
    "agent update node-7 node-8 --to 1.4.2",
    "agent update node-7 --pin 1.4.1",
    "agent update --stop",
  ],
};

type Target = RolloutDetail["agents"][number];

const COLUMNS: Column<Target>[] = [
  { title: "AGENT", value: ({ agent }) => agent, align: "right" },
  { title: "NAME", value: ({ name }) => name },
  { title: "STATE", value: ({ state }) => state, whole: true },
  { title: "", value: ({ message }) => message, optional: true },
];

export async function updateAgents(invocation: Invocation): Promise<number | undefined> {
  const { options } = invocation;
  const { client } = await invocation.connect();
  if (options.releases) return listReleases(invocation, client);
  const names = invocation.args.filter((name) => name !== undefined);
  const policy = policyOf(options);
  if (policy !== undefined) return setPolicy(invocation, client, names, policy);
  if (options.all && names.length > 0) throw usage("Name agents or give --all, not both.");
  const begins = options.all === true || names.length > 0;
  if (!begins && options.to !== undefined) throw usage("Say which agents --to is for: name them or give --all.");
  if (options.stop && begins) throw usage("--stop ends the rollout under way and takes no agents.");
  let rollout: RolloutDetail;
  if (begins) {
    const agents = options.all ? undefined : await Promise.all(names.map((name) => findAgent(client, name)));
    rollout = await client.call("beginRollout", { body: { version: options.to as string | undefined, agents } });
  } else rollout = await latest(client);
  if (options.stop) {
    rollout = await client.call("stopRollout", { params: { rollout: rollout.id }, body: {} });
  }
  if (!options.watch) return show(invocation, rollout);
  return watch(invocation, client, rollout);
}

function policyOf(
  options: Invocation["options"],
): { pinned_version: string | null; updates_refused: boolean } | undefined {
  const { pin, refuse, unpin } = options;
  if ([pin, refuse, unpin].filter(Boolean).length > 1) throw usage("Give one of --pin, --refuse and --unpin.");
  if (pin !== undefined) return { pinned_version: pin as string, updates_refused: false };
  if (refuse) return { pinned_version: null, updates_refused: true };
  return unpin ? { pinned_version: null, updates_refused: false } : undefined;
}

async function setPolicy(
  invocation: Invocation,
  client: Client,
  names: string[],
  body: { pinned_version: string | null; updates_refused: boolean },
): Promise<undefined> {
  if (names.length === 0) throw usage("Name the agents that this is about.");
  const set = [];
  for (const name of names) {
    const agent = await findAgent(client, name);
    set.push({ agent, ...(await client.call("setUpdatePolicy", { params: { agent }, body })) });
  }
  if (invocation.json) return printJson(invocation, { items: set }) as undefined;
  const { pinned_version: pinned, updates_refused: refused } = body;
  const what = refused ? "takes no updates" : pinned === null ? "takes every update" : `is updated to ${pinned} only`;
  for (const name of names) invocation.out.write(`${name} ${what}.\n`);
}

async function listReleases(invocation: Invocation, client: Client): Promise<undefined> {
  const page = await client.call("listReleases", { query: {} });
  if (invocation.json) return printJson(invocation, page) as undefined;
  const rows = page.items.flatMap(({ version, files }) => files.map((file) => ({ version, ...file })));
  const columns: Column<(typeof rows)[number]>[] = [
    { title: "VERSION", value: ({ version }) => version, whole: true },
    { title: "PLATFORM", value: ({ platform }) => platform },
    { title: "SHA-256", value: ({ sha256 }) => sha256, optional: true },
  ];
  invocation.out.write(renderTable(columns, rows, invocation.out, "No releases."));
}

async function latest(client: Client): Promise<RolloutDetail> {
  const { items } = await client.call("listRollouts", { query: { limit: 1 } });
  const [rollout] = items;
  if (rollout === undefined) {
    throw new AiravataError(
      "rollout_not_found",
      'There was no rollout yet; begin one with "airavata agent update --all", or name agents.',
    );
  }
  return client.call("getRollout", { params: { rollout: rollout.id } });
}

function show(invocation: Invocation, rollout: RolloutDetail): undefined {
  if (invocation.json) return printJson(invocation, rollout) as undefined;
  invocation.out.write(`${headline(rollout)}\n`);
  invocation.out.write(renderTable(COLUMNS, rollout.agents, invocation.out, "No agents."));
  if (rollout.state === "ACTIVE") invocation.out.write('Follow it with "airavata agent update --watch".\n');
}

/** A line per change; with `--json` the rollout as it was then. Exit 1 when it was stopped. */
async function watch(invocation: Invocation, client: Client, begun: RolloutDetail): Promise<number> {
  const said = new Map<number, string>();
  for (let rollout = begun; ; ) {
    const changes = rollout.agents.filter((agent) => said.get(agent.agent) !== textOf(agent));
    for (const agent of changes) said.set(agent.agent, textOf(agent));
    if (invocation.json) {
      if (changes.length > 0 || rollout.state !== "ACTIVE") invocation.out.write(`${JSON.stringify(rollout)}\n`);
    } else for (const agent of changes) invocation.out.write(`${textOf(agent)}\n`);
    if (rollout.state !== "ACTIVE") {
      if (!invocation.json) invocation.out.write(`${headline(rollout)}\n`);
      return rollout.state === "DONE" ? Exit.DONE : Exit.FAILED;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    rollout = await client.call("getRollout", { params: { rollout: begun.id } });
  }
}

function textOf({ name, state, message }: Target): string {
  return `${name}: ${state}${message === "" ? "" : `, ${message}`}`;
}

function headline({ id, version, state, reason }: RolloutDetail): string {
  return `Rollout ${id} to version ${version} is ${state}${reason === "" ? "" : `: ${reason}`}.`;
}

function usage(sentence: string): AiravataError {
  return new AiravataError("usage_invalid", sentence);
}
