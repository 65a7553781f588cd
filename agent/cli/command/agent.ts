/** `airavata agent`: one agent in the foreground; and `agent list|show|drain|update|revoke`, about the enrolled ones. */
import { type Command, Option } from "commander";
import type { Agent } from "../../../shared/api/agent.ts";
import type { Client } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { drawingOn, nodeFields, percent, shareOf } from "../figures.ts";
import { humanBytes, humanDuration, humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, everyItem, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { AGENT_REVOKE, AGENT_ROTATE_KEY, identityFields, revokeAgent, rotateAgentKey } from "./agent-identity.ts";
import { AGENT_OPTIONS, enrolAgent, startAgent } from "./agent-start.ts";
import { AGENT_UPDATE, updateAgents } from "./agent-update.ts";
import { addCommand, type Bind, wholeNumber } from "./tree.ts";

export function addAgentCommands(program: Command, bind: Bind): void {
  const group = addCommand(
    program,
    {
      usage: "agent",
      description: "run an agent; list, drain and update agents",
      options: AGENT_OPTIONS,
      globals: "none",
      examples: [
        "agent --api-url https://cluster.example.org --output-dir /scratch/airavata",
        "agent --config /etc/airavata/agent.yaml",
        "agent list",
      ],
    },
    bind,
    startAgent,
  ).helpCommand(false);
  addCommand(
    program,
    {
      usage: "enrol",
      description: "enrol an agent without starting it",
      options: [
        ["--token-file <file>", "file with the enrolment token, - for standard input"],
        ["--token <token>", "the token itself: everybody on this machine sees it in the list of processes"],
        ...AGENT_OPTIONS,
      ],
      globals: "none",
      examples: [
        "enrol --token-file token --api-url https://cluster.example.org --output-dir /scratch/airavata",
        "enrolment create | ssh node-12 airavata enrol --token-file - --output-dir /scratch/airavata",
      ],
    },
    bind,
    enrolAgent,
  )
    .alias("enroll")
    .addOption(JSON_OPTION());
  addCommand(
    group,
    {
      usage: "list",
      description: "list enrolled agents",
      options: [["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["agent list"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <agent>", description: "show one agent", examples: ["agent show 1", "agent show local-1"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "drain <agent>",
      description: "let it finish what it holds and give it nothing new",
      options: [["--reason <text>", "kept with the decision"]],
      examples: ["agent drain 1 --reason maintenance"],
    },
    bind,
    drain,
  );
  addCommand(group, AGENT_UPDATE, bind, updateAgents);
  addCommand(group, AGENT_REVOKE, bind, revokeAgent);
  addCommand(group, AGENT_ROTATE_KEY, bind, rotateAgentKey).addOption(JSON_OPTION());
}

const JSON_OPTION = (): Option => new Option("--json", "print JSON: one document");

const COLUMNS: Column<Agent>[] = [
  { title: "ID", value: (agent) => agent.id, align: "right" },
  { title: "NAME", value: (agent) => agent.name },
  { title: "STATE", value: (agent) => agent.state, whole: true },
  { title: "PROJECT", value: (agent) => (agent.project === null ? "(all)" : agent.project), optional: true },
  { title: "COMPUTE", value: (agent) => agent.compute_resource, optional: true },
  { title: "VERSION", value: versionText, optional: true },
  { title: "HOST", value: (agent) => agent.session?.hostname },
  { title: "CPUS", value: (agent) => ofTotal(agent.session?.free.cpus, agent.session?.capacity.cpus), align: "right" },
  { title: "MEMORY", value: (agent) => humanBytes(agent.session?.capacity.memory_bytes), align: "right" },
  { title: "CPU", value: ({ figures }) => figures && percent(figures.cpu), align: "right", optional: true },
  {
    title: "MEM",
    value: ({ figures }) => figures && percent(shareOf(figures.memory_used_bytes, figures.memory_limit_bytes)),
    align: "right",
    optional: true,
  },
  {
    title: "FREE",
    value: ({ figures }) => figures && humanBytes(figures.disk_free_bytes),
    align: "right",
    optional: true,
  },
  { title: "LEASES", value: (agent) => agent.session?.leases, align: "right" },
  { title: "SEEN", value: (agent) => humanTime(agent.session?.seen_at), whole: true, optional: true },
];

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call("listAgents", { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  invocation.out.write(renderTable(COLUMNS, page.items, invocation.out, "No agents."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const params = { agent: await findAgent(client, invocation.args[0] ?? "") };
  const agent = await client.call("getAgent", { params });
  if (invocation.json) return printJson(invocation, agent) as undefined;
  const { session } = agent;
  const fields: [string, string | number | null | undefined][] = [
    ["agent", agent.id],
    ["name", agent.name],
    ["state", agent.state],
    ["enrolled", humanTime(agent.enrolled_at)],
    ...identityFields(agent),
  ];
  if (session) {
    const { capacity, free } = session;
    fields.push(
      ["host", session.hostname],
      ["program", session.program],
      ["seen", humanTime(session.seen_at)],
      ["leases", `${session.leases} (${session.ahead < 0 ? "takes none for now" : `asks for ${session.ahead} ahead`})`],
      ["cpus", `${free.cpus} free of ${capacity.cpus}`],
      ["memory", `${humanBytes(free.memory_bytes)} free of ${humanBytes(capacity.memory_bytes)}`],
      ["gpus", `${free.gpus} free of ${capacity.gpus}`],
      ["disk", `${humanBytes(free.disk_bytes)} free of ${humanBytes(capacity.disk_bytes)}`],
      ["labels", pairs(capacity.labels)],
      ["other resources", pairs(capacity.custom)],
      ["lasts", session.lasts_seconds === null ? "without end" : humanDuration(session.lasts_seconds)],
    );
  }
  if (agent.figures) {
    const drawing = drawingOn(invocation.out, invocation.environment);
    // Curves are all that the past is needed for.
    const { items } = drawing === "unicode" ? await client.call("getAgentMetrics", { params }) : { items: [] };
    fields.push(["measured", humanTime(agent.figures.at)], ...nodeFields(agent.figures, items, drawing));
  }
  fields.push(...updateFields(agent));
  invocation.out.write(renderFields(fields, invocation.out));
}

async function drain(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const agent = await client.call("drainAgent", {
    params: { agent: await findAgent(client, invocation.args[0] ?? "") },
    body: { reason: invocation.options.reason as string | undefined },
  });
  if (invocation.json) return printJson(invocation, agent) as undefined;
  invocation.out.write(`Agent ${agent.id} (${agent.name}) is told to drain; it is ${agent.state}.\n`);
}

/** The number of an agent that is given by number or by name. Throws `agent_not_found`. */
export async function findAgent(client: Client, text: string): Promise<number> {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  for await (const { id, name } of everyItem((query) => client.call("listAgents", { query }))) {
    if (name === text) return id;
  }
  throw new AiravataError(
    "agent_not_found",
    `There is no agent "${text}"; "airavata agent list" shows those there are.`,
  );
}

/** What it runs, and where it is on its way to. */
function versionText({ session, update }: Agent): string | undefined {
  if (!update || update.state === "UPDATED" || update.state === "SKIPPED") return session?.program;
  return `${session?.program ?? ""} → ${update.version} ${update.state}`.trim();
}

function updateFields({ update, pinned_version: pinned, updates_refused: refused }: Agent): [string, string][] {
  const fields: [string, string][] = [];
  if (update) {
    const { version, state, message, changed_at, rollout } = update;
    const said = message === "" ? "" : `: ${message}`;
    fields.push(["update", `${state} to ${version} (rollout ${rollout}, ${humanTime(changed_at)})${said}`]);
  }
  if (refused) fields.push(["updates", "refused by the operator"]);
  else if (pinned !== null) fields.push(["updates", `pinned to ${pinned}`]);
  return fields;
}

function ofTotal(free: number | undefined, total: number | undefined): string | undefined {
  return free === undefined || total === undefined ? undefined : `${free}/${total}`;
}

function pairs(record: Record<string, string | number>): string {
  return Object.entries(record)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
}
