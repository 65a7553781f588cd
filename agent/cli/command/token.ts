/** `airavata auth token create|list|revoke`: personal tokens, for programs that act for their maker. */
import type { Command } from "commander";
import { SCOPES, type Scope } from "../../../shared/api/access.ts";
import type { PersonalToken } from "../../../shared/api/account.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { parseDuration } from "../../../shared/time/duration.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { type Column, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind, gather } from "./tree.ts";

export function addTokenCommands(auth: Command, bind: Bind): void {
  const group = addGroup(auth, "token", "personal tokens, for programs");
  addCommand(
    group,
    {
      usage: "create <name>",
      description: "make a token; it is shown this once",
      options: [
        ["--scope <scope>", `what it may, again for each: ${SCOPES.join(", ")} (default read)`, gather],
        ["--expires-in <duration>", "how long it is good (default 90d, at most 366d)"],
      ],
      examples: ["auth token create nightly --scope read --scope experiments --expires-in 30d"],
    },
    bind,
    create,
  );
  addCommand(
    group,
    { usage: "list", description: "list your personal tokens", examples: ["auth token list"] },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "revoke <id>", description: "make a token worthless at once", examples: ["auth token revoke 4"] },
    bind,
    revoke,
  );
}

async function create(invocation: Invocation): Promise<undefined> {
  const [name = ""] = invocation.args;
  const { scope = ["read"], expiresIn } = invocation.options as { scope?: string[]; expiresIn?: string };
  const unknown = scope.find((each) => !(SCOPES as readonly string[]).includes(each));
  if (unknown !== undefined) {
    throw new AiravataError("usage_invalid", `There is no scope "${unknown}": choose of ${SCOPES.join(", ")}.`);
  }
  const lastsMs = expiresIn === undefined ? undefined : parseDuration(expiresIn);
  if (expiresIn !== undefined && (lastsMs === undefined || lastsMs < 60_000)) {
    throw new AiravataError("usage_invalid", `--expires-in is "${expiresIn}" but must be a duration like 30d or 12h.`);
  }
  const { client } = await invocation.connect();
  const made = await client.call("createToken", {
    body: {
      name,
      scopes: scope as Scope[],
      expires_in_seconds: lastsMs === undefined ? undefined : Math.round(lastsMs / 1000),
    },
    idempotencyKey: crypto.randomUUID(),
  });
  if (invocation.json) return printJson(invocation, made) as undefined;
  // The token alone on standard output, so that a script can take it.
  invocation.out.write(`${made.token}\n`);
  const { id, scopes, expires_at } = made;
  invocation.err.write(
    `Token ${id}, for ${scopes.join(", ")}, until ${humanTime(expires_at)}. It is shown this once.\n`,
  );
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { items } = await client.call("listTokens", {});
  if (invocation.json) return printJson(invocation, { items }) as undefined;
  const columns: Column<PersonalToken>[] = [
    { title: "ID", value: (token) => token.id, align: "right" },
    { title: "NAME", value: (token) => token.name },
    { title: "STATE", value: stateOf },
    { title: "SCOPES", value: (token) => token.scopes.join(" ") },
    { title: "LAST USED", value: (token) => humanTime(token.last_used_at), whole: true, optional: true },
    { title: "EXPIRES", value: (token) => humanTime(token.expires_at), whole: true },
  ];
  invocation.out.write(renderTable(columns, items, invocation.out, "No personal tokens."));
}

async function revoke(invocation: Invocation): Promise<undefined> {
  const [id = ""] = invocation.args;
  if (!/^\d{1,15}$/.test(id)) {
    throw new AiravataError("usage_invalid", `"${id}" is not a token's number: see "airavata auth token list".`);
  }
  const { client } = await invocation.connect();
  const token = await client.call("revokeToken", { params: { token: Number(id) } });
  if (invocation.json) return printJson(invocation, token) as undefined;
  invocation.out.write(`Token ${token.id} (${token.name}) is ${stateOf(token)}.\n`);
}

function stateOf(token: PersonalToken): string {
  if (token.revoked_at !== null) return "revoked";
  return Date.parse(token.expires_at) <= Date.now() ? "expired" : "good";
}
