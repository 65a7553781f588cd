/** `airavata enrolment create|list|revoke`: the one-time tokens with which agents enrol. */
import type { Command } from "commander";
import type { EnrolmentToken } from "../../../shared/api/agent.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { parseDuration } from "../../../shared/time/duration.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind, wholeNumber } from "./tree.ts";

export function addEnrolmentCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "enrolment", "one-time tokens for new agents");
  addCommand(
    group,
    {
      usage: "create",
      description: "make a token; it is shown this once",
      options: [
        ["--note <text>", "what it is for"],
        ["--expires-in <duration>", "how long it may be used (default 1h)"],
        ["--any-project", "its agent serves all projects, not only one (--project, else default)"],
      ],
      examples: ["enrolment create --note node-12 --expires-in 30m"],
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
    { usage: "revoke <id>", description: "make an unused token worthless", examples: ["enrolment revoke 3"] },
    bind,
    revoke,
  );
}

async function create(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { note, expiresIn, anyProject } = invocation.options as {
    note?: string;
    expiresIn?: string;
    anyProject?: boolean;
  };
  const { project } = invocation.settings.values;
  const expiresMs = expiresIn === undefined ? undefined : parseDuration(expiresIn);
  if (expiresIn !== undefined && (expiresMs === undefined || expiresMs < 1000)) {
    throw new AiravataError("usage_invalid", `--expires-in is "${expiresIn}" but must be a duration like 30m or 1h.`);
  }
  const token = await client.call("createEnrolmentToken", {
    body: {
      note,
      project,
      any_project: anyProject,
      expires_in_seconds: expiresMs === undefined ? undefined : Math.round(expiresMs / 1000),
    },
    idempotencyKey: crypto.randomUUID(),
  });
  if (invocation.json) return printJson(invocation, token) as undefined;
  // The token alone on standard output, so that a script can take it.
  invocation.out.write(`${token.token}\n`);
  invocation.err.write(`Token ${token.id}, for one agent, until ${humanTime(token.expires_at)}.\n`);
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call("listEnrolmentTokens", { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<EnrolmentToken>[] = [
    { title: "ID", value: (token) => token.id, align: "right" },
    { title: "STATE", value: stateOf },
    { title: "AGENT", value: (token) => token.agent, align: "right" },
    { title: "CREATED", value: (token) => humanTime(token.created_at), whole: true, optional: true },
    { title: "EXPIRES", value: (token) => humanTime(token.expires_at), whole: true },
    { title: "NOTE", value: (token) => token.note },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No enrolment tokens."));
  invocation.out.write(moreLine(page));
}

async function revoke(invocation: Invocation): Promise<undefined> {
  const id = invocation.args[0] ?? "";
  if (!/^\d{1,15}$/.test(id)) {
    throw new AiravataError("usage_invalid", `"${id}" is not a token's number: see "airavata enrolment list".`);
  }
  const { client } = await invocation.connect();
  const token = await client.call("revokeEnrolmentToken", { params: { id: Number(id) } });
  if (invocation.json) return printJson(invocation, token) as undefined;
  invocation.out.write(`Token ${token.id} is ${stateOf(token)}.\n`);
}

function stateOf(token: EnrolmentToken): string {
  if (token.used_at !== null) return "used";
  if (token.revoked_at !== null) return "revoked";
  return Date.parse(token.expires_at) <= Date.now() ? "expired" : "open";
}
