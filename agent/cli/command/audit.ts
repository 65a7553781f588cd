/** `airavata audit list|show|export|head`: who did what, and what of it can be proven. */

import { once } from "node:events";
import type { Command } from "commander";
import type { AuditEntry } from "../../../shared/api/audit.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { anchorText } from "../../../shared/model/anchor.ts";
import { parseDuration } from "../../../shared/time/duration.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { printable } from "../terminal.ts";
import { addCommand, addGroup, type Bind, type CommandSpec, wholeNumber } from "./tree.ts";

const FILTERS: NonNullable<CommandSpec["options"]> = [
  ["--actor <name>", "done by this user, by name or number"],
  ["--action <action>", "experiment.cancel, or experiment for all about experiments"],
  ["--resource <type[:id]>", "about these: experiment:17, or agent for all agents"],
  ["--of-project <name>", "what concerns this project"],
  ["--refused", "refusals only"],
  ["--done", "changes only"],
  ["--since <time>", "not before: 2026-11-24T12:00:00Z, or 2h for two hours ago"],
  ["--until <time>", "before this time"],
  ["--request <id>", "of this request"],
];

export function addAuditCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "audit", "who did what, also what was refused");
  addCommand(
    group,
    {
      usage: "list",
      description: "list entries, newest first",
      options: [...FILTERS, ["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["audit list --actor alice --since 24h", "audit list --refused", "audit list --resource experiment:17"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    {
      usage: "show <entry>",
      description: "show an entry with what was before and after",
      examples: ["audit show 4711"],
    },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "export",
      description: "write entries as lines of JSON, oldest first",
      options: [
        ...FILTERS,
        ["--sealed", "the whole chain with its seals, for somebody who checks it; takes no filter"],
      ],
      examples: ["audit export --of-project physics > physics.jsonl", "audit export --sealed > audit.jsonl"],
    },
    bind,
    exportLines,
  );
  addCommand(
    group,
    {
      usage: "head",
      description: "show the newest seal of the chain, to be kept elsewhere",
      options: [["--anchor", "only the line that admin check --anchors reads"]],
      examples: ["audit head", "audit head --anchor >> /mnt/worm/anchors"],
    },
    bind,
    head,
  );
}

async function list(invocation: Invocation): Promise<undefined> {
  const asked = filterOf(invocation.options);
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const { client } = await invocation.connect();
  const page = await collectPages(limit as number, (query) =>
    client.call("listAudit", { query: { ...asked, ...query } }),
  );
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<AuditEntry>[] = [
    { title: "ENTRY", value: ({ entry }) => entry, align: "right" },
    { title: "TIME", value: ({ at }) => humanTime(at), whole: true },
    { title: "ACTOR", value: actorOf },
    { title: "ACTION", value: ({ action }) => action },
    { title: "RESOURCE", value: resourceOf },
    { title: "OUTCOME", value: ({ outcome, code }) => code ?? outcome },
    { title: "PROJECT", value: ({ project_name, project }) => project_name ?? project, optional: true },
    { title: "FROM", value: ({ address }) => address, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No audit entries."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const given = invocation.args[0] ?? "";
  if (!/^[1-9]\d{0,14}$/.test(given)) {
    throw new AiravataError("usage_invalid", `"${given}" is not an entry's number: see "airavata audit list".`);
  }
  const { client } = await invocation.connect();
  const entry = await client.call("getAuditEntry", { params: { entry: Number(given) } });
  if (invocation.json) return printJson(invocation, entry) as undefined;
  const fields: [string, string | number | null][] = [
    ["entry", entry.entry],
    ["time", humanTime(entry.at)],
    ["actor", actorOf(entry)],
    ["known by", entry.via],
    ["from", entry.address],
    ["request", entry.request],
    ["action", entry.action],
    ["resource", resourceOf(entry)],
    ["project", entry.project_name ?? entry.project],
    ["outcome", entry.code === null ? entry.outcome : `${entry.outcome} (${entry.code})`],
    ["sealed in", entry.seal === null ? "not yet" : `seal ${entry.seal}`],
    ["before", detailOf(entry.before)],
    ["after", detailOf(entry.after)],
  ];
  invocation.out.write(renderFields(fields, invocation.out));
}

async function exportLines(invocation: Invocation): Promise<undefined> {
  const { sealed } = invocation.options;
  const query = { ...filterOf(invocation.options), sealed: sealed ? ("true" as const) : undefined };
  const { client } = await invocation.connect();
  const response = await client.open("exportAudit", { query });
  try {
    for await (const chunk of response.body ?? []) await writeBytes(invocation, chunk);
  } catch (cause) {
    const message = `the export of ${client.server} broke off: what was written is not all`;
    throw new AiravataError("server_unreachable", message, { cause });
  }
}

/** As fast as they are taken; on a terminal nothing in them drives it. */
async function writeBytes({ out }: Invocation, chunk: Uint8Array): Promise<void> {
  if (out.isTerminal) return out.write(printable(Buffer.from(chunk).toString("utf8")));
  if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
}

async function head(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { head, waiting } = await client.call("auditHead", {});
  if (invocation.json) return printJson(invocation, { head, waiting }) as undefined;
  if (invocation.options.anchor) {
    if (head === null)
      throw new AiravataError("audit_entry_not_found", "nothing is sealed yet: ask again in some seconds");
    invocation.out.write(`${anchorText(head)}\n`);
    return;
  }
  const fields: [string, string | number | null][] = [
    ["seal", head?.seal ?? null],
    ["sealed at", humanTime(head?.at)],
    ["hash", head?.hash ?? null],
    ["waiting", waiting],
  ];
  invocation.out.write(renderFields(fields, invocation.out));
}

/** Throws `usage_invalid`. */
function filterOf(options: Record<string, unknown>) {
  const { actor, action, resource, ofProject, refused, done, since, until, request } = options as Record<
    string,
    string | undefined
  >;
  if (refused && done) throw new AiravataError("usage_invalid", "--refused and --done exclude each other.");
  const colon = resource?.indexOf(":") ?? -1;
  return {
    actor,
    action,
    resource_type: colon < 0 ? resource : resource?.slice(0, colon),
    resource_id: colon < 0 ? undefined : resource?.slice(colon + 1),
    project: ofProject,
    outcome: refused ? ("refused" as const) : done ? ("done" as const) : undefined,
    since: timeOf("--since", since),
    until: timeOf("--until", until),
    request,
  };
}

function timeOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const agoMs = parseDuration(text);
  const ms = agoMs === undefined ? Date.parse(text) : Date.now() - agoMs;
  if (!Number.isNaN(ms)) return new Date(ms).toISOString();
  const message = `${option} is "${text}" but must be a time like 2026-11-24T12:00:00Z, or a duration like 2h, which is so long ago.`;
  throw new AiravataError("usage_invalid", message);
}

function actorOf({ actor, actor_name: name, via }: AuditEntry): string {
  if (actor === 0) return via === "nobody" ? "(unknown)" : "system";
  return name ?? String(actor);
}

function resourceOf({ resource_type: type, resource_id: id }: AuditEntry): string | null {
  return type === null ? null : `${type}:${id}`;
}

function detailOf(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}
