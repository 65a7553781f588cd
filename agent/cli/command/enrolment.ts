/** `airavata enrolment create|list|show|revoke`: the tokens with which agents enrol. */
import type { Command } from "commander";
import type { EnrolmentToken } from "../../../shared/api/agent.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { parseDuration } from "../../../shared/time/duration.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind, wholeNumber } from "./tree.ts";

export function addEnrolmentCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "enrolment", "tokens for new agents");
  addCommand(
    group,
    {
      usage: "create",
      description: "make a token; it is shown this once",
      options: [
        ["--note <text>", "what it is for"],
        ["--uses <n>", "so many agents may enrol with it (default 1)", wholeNumber(1)],
        ["--compute <name>", "the compute resource at which its agents are"],
        ["--expires <duration>", "how long it may be used (default 1h)"],
        ["--expires-in <duration>", "the same"],
        ["--any-project", "its agents serve all projects, not only one (--project, else default)"],
      ],
      examples: [
        "enrolment create --note node-12 --expires 30m",
        "enrolment create --project docking --compute hpc1 --uses 40 --expires 7d",
      ],
    },
    bind,
    create,
  );
  addCommand(
    group,
    {
      usage: "list",
      description: "list tokens, newest first",
      options: [["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["enrolment list"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <id>", description: "show a token and who came in by it", examples: ["enrolment show 3"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "revoke <id>",
      description: "make a token worthless; agents that came in by it stay",
      examples: ["enrolment revoke 3"],
    },
    bind,
    revoke,
  );
}

async function create(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { note, uses, compute, anyProject, ...given } = invocation.options as {
    note?: string;
    uses?: number;
    compute?: string;
    expires?: string;
    expiresIn?: string;
    anyProject?: boolean;
  };
  const expiresIn = given.expires ?? given.expiresIn;
  const { project } = invocation.settings.values;
  const expiresMs = expiresIn === undefined ? undefined : parseDuration(expiresIn);
  if (expiresIn !== undefined && (expiresMs === undefined || expiresMs < 1000)) {
    throw new AiravataError("usage_invalid", `--expires is "${expiresIn}" but must be a duration like 30m or 1h.`);
  }
  const token = await client.call("createEnrolmentToken", {
    body: {
      note,
      project,
      any_project: anyProject,
      uses,
      compute_resource: compute,
      expires_in_seconds: expiresMs === undefined ? undefined : Math.round(expiresMs / 1000),
    },
    idempotencyKey: crypto.randomUUID(),
  });
  if (invocation.json) return printJson(invocation, token) as undefined;
  // The token alone on standard output, so that a script can take it.
  invocation.out.write(`${token.token}\n`);
  const whom = (token.uses_max ?? 1) === 1 ? "one agent" : `${token.uses_max} agents`;
  const serves = token.project === null ? "all projects" : `project ${token.project}`;
  const at = token.compute_resource ? ` at ${token.compute_resource}` : "";
  invocation.err.write(`Token ${token.id}, for ${whom} of ${serves}${at}, until ${humanTime(token.expires_at)}.\n`);
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call("listEnrolmentTokens", { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<EnrolmentToken>[] = [
    { title: "ID", value: (token) => token.id, align: "right" },
    { title: "STATE", value: stateOf },
    { title: "USES", value: (token) => usesOf(token, "/"), align: "right" },
    { title: "PROJECT", value: (token) => (token.project === null ? "(all)" : token.project) },
    { title: "COMPUTE", value: (token) => token.compute_resource, optional: true },
    { title: "CREATED", value: (token) => humanTime(token.created_at), whole: true, optional: true },
    { title: "EXPIRES", value: (token) => humanTime(token.expires_at), whole: true },
    { title: "NOTE", value: (token) => token.note },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No enrolment tokens."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const id = numberOf(invocation);
  const { client } = await invocation.connect();
  const token = await client.call("getEnrolmentToken", { params: { id } });
  if (invocation.json) return printJson(invocation, token) as undefined;
  const fields: [string, string | number | null | undefined][] = [
    ["token", token.id],
    ["state", stateOf(token)],
    ["note", token.note],
    ["project", token.project === null ? "all of them" : token.project],
    ["compute resource", token.compute_resource],
    ["created", humanTime(token.created_at)],
    ["expires", humanTime(token.expires_at)],
    ["uses", usesOf(token, " of ")],
    ...(token.agents ?? []).map(({ agent, name, at, address }): [string, string] => [
      `agent ${agent}`,
      `${name}, ${humanTime(at)}${address === null ? "" : `, from ${address}`}`,
    ]),
  ];
  invocation.out.write(renderFields(fields, invocation.out));
}

function numberOf(invocation: Invocation): number {
  const id = invocation.args[0] ?? "";
  if (/^\d{1,15}$/.test(id)) return Number(id);
  throw new AiravataError("usage_invalid", `"${id}" is not a token's number: see "airavata enrolment list".`);
}

async function revoke(invocation: Invocation): Promise<undefined> {
  const id = numberOf(invocation);
  const { client } = await invocation.connect();
  const token = await client.call("revokeEnrolmentToken", { params: { id } });
  if (invocation.json) return printJson(invocation, token) as undefined;
  invocation.out.write(`Token ${token.id} is ${stateOf(token)}.\n`);
}

/** A coordinator of the version before knows tokens of one use. */
function usesOf({ uses, uses_max: usesMax, used_at: usedAt }: EnrolmentToken, between: string): string {
  return `${uses ?? (usedAt === null ? 0 : 1)}${between}${usesMax ?? 1}`;
}

function stateOf(token: EnrolmentToken): string {
  if (token.used_at !== null) return "used";
  if (token.revoked_at !== null) return "revoked";
  return Date.parse(token.expires_at) <= Date.now() ? "expired" : "open";
}
