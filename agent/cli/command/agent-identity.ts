/** `airavata agent revoke`, for whoever operates agents, and `airavata agent rotate-key`, on the node of one. */
import { join } from "node:path";
import type { Agent } from "../../../shared/api/agent.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { loadIdentity } from "../../session/identity.ts";
import { rotateKey } from "../../session/keys.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { findAgent } from "./agent.ts";
import { AGENT_OPTIONS, agentSettings, requiredOutputDir } from "./agent-start.ts";
import type { CommandSpec } from "./tree.ts";

export const AGENT_REVOKE: CommandSpec = {
  usage: "revoke <agent>",
  description: "end an agent's identity for good: its session ends at once, what it holds goes to others",
  options: [["--reason <text>", "kept in the audit"]],
  examples: ['agent revoke node-12 --reason "the disk was stolen"'],
};

export async function revokeAgent(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const agent = await client.call("revokeAgent", {
    params: { agent: await findAgent(client, invocation.args[0] ?? "") },
    body: { reason: invocation.options.reason as string | undefined },
  });
  if (invocation.json) return printJson(invocation, agent) as undefined;
  const leases = agent.session?.leases ?? 0;
  const work = leases === 0 ? "it held no tasks" : `${leases} tasks that it held go to others`;
  invocation.out.write(`Agent ${agent.id} (${agent.name}) is revoked; ${work}. Its name is free again.\n`);
  invocation.err.write(
    'A token of several uses lets the machine in again: see "airavata enrolment list", and revoke it there.\n',
  );
}

export const AGENT_ROTATE_KEY: CommandSpec = {
  usage: "rotate-key",
  description: "give the agent of this node another key, whether it runs or not; tasks run on",
  options: AGENT_OPTIONS,
  globals: "none",
  examples: ["agent rotate-key --output-dir /scratch/airavata"],
};

export async function rotateAgentKey(invocation: Invocation): Promise<undefined> {
  const { settings } = await agentSettings(invocation);
  const stateDir = join(requiredOutputDir(settings), "state");
  const identity = await loadIdentity(stateDir);
  if (identity === undefined) {
    throw new AiravataError("agent_not_enrolled", `no agent is enrolled in ${stateDir}: there is no key to change`);
  }
  const { agent, name, server } = identity;
  await rotateKey({ stateDir, agent, name, apiUrl: server, way: { env: invocation.environment, tls: settings } });
  if (invocation.json) return printJson(invocation, { agent, name, server }) as undefined;
  invocation.out.write(`Agent ${agent} (${name}) has another key at ${server}; the former one is worth nothing.\n`);
}

/** What an agent is bound to, and what its operator should know of it. */
export function identityFields(agent: Agent): [string, string | null | undefined][] {
  const { notice } = agent;
  return [
    ["project", agent.project === null ? "all of them" : agent.project],
    ["compute resource", agent.compute_resource],
    ["key since", humanTime(agent.key_changed_at)],
    ["address", agent.address],
    ...(notice
      ? [["attention", `${notice.message} (${humanTime(notice.at)}, ${notice.count} times)`] as [string, string]]
      : []),
  ];
}
