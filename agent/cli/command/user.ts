/** `airavata user create|list|show|set|disable|enable|reset-password`: people, for administrators. */
import type { Command } from "commander";
import type { User, UserWithPassword } from "../../../shared/api/account.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind, type CommandSpec, wholeNumber } from "./tree.ts";

const CHANGES: NonNullable<CommandSpec["options"]> = [
  ["--display-name <name>", "as people write it"],
  ["--email <address>", '"none" takes it away'],
  ["--role <role>", "over the whole installation: administrator, operator or none"],
];

export function addUserCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "user", "people: who may log in");
  addCommand(
    group,
    {
      usage: "create <username>",
      description: "make a user; the one-time password is shown this once",
      options: [
        ...CHANGES,
        ["--no-password", "none: the user logs in by the identity provider"],
        ["--oidc-issuer <url>", "the identity provider that the user logs in by, as OIDC_ISSUER names it"],
        ["--oidc-subject <subject>", "who the user is there: what it says as sub"],
      ],
      examples: [
        "user create ada --display-name 'Ada Lovelace' --email ada@example.org",
        "user create ada --oidc-issuer https://sso.example.org --oidc-subject 5f3e9a",
      ],
    },
    bind,
    create,
  );
  addCommand(
    group,
    {
      usage: "list",
      description: "list who may log in",
      options: [["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["user list"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <user>", description: "show a user, by name or number", examples: ["user show ada"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "set <user>",
      description: "change what is known of a user, or the role",
      options: CHANGES,
      examples: ["user set ada --role operator", "user set ada --email none"],
    },
    bind,
    set,
  );
  const verbs: [string, "disableUser" | "enableUser", string][] = [
    ["disable", "disableUser", "let a user in no more; logins and tokens end at once"],
    ["enable", "enableUser", "let a disabled user log in again"],
  ];
  for (const [verb, id, description] of verbs) {
    addCommand(group, { usage: `${verb} <user>`, description, examples: [`user ${verb} ada`] }, bind, (invocation) =>
      decide(invocation, id),
    );
  }
  addCommand(
    group,
    {
      usage: "reset-password <user>",
      description: "give a user a new one-time password, shown this once; the user's logins end",
      examples: ["user reset-password ada"],
    },
    bind,
    reset,
  );
}

interface CreateOptions {
  password: boolean;
  oidcIssuer?: string;
  oidcSubject?: string;
}

async function create(invocation: Invocation): Promise<undefined> {
  const { password, oidcIssuer: issuer, oidcSubject: subject } = invocation.options as Partial<CreateOptions>;
  if ((issuer === undefined) !== (subject === undefined)) {
    throw new AiravataError("usage_invalid", "--oidc-issuer and --oidc-subject belong together: give both or neither.");
  }
  const oidc = issuer === undefined || subject === undefined ? {} : { oidc: { issuer, subject } };
  const none = password === false ? { password: null } : {};
  const body = { username: userOf(invocation), ...changesOf(invocation), ...none, ...oidc };
  const { client } = await invocation.connect();
  printWithPassword(invocation, await client.call("createUser", { body, idempotencyKey: crypto.randomUUID() }));
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call("listUsers", { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<User>[] = [
    { title: "ID", value: (user) => user.id, align: "right" },
    { title: "USERNAME", value: (user) => user.username },
    { title: "NAME", value: (user) => user.display_name },
    { title: "ROLE", value: (user) => user.platform_role },
    { title: "STATE", value: stateOf },
    { title: "EMAIL", value: (user) => user.email, optional: true },
    { title: "CREATED", value: (user) => humanTime(user.created_at), whole: true, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No users."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  print(invocation, await client.call("getUser", { params: { user: userOf(invocation) } }));
}

async function set(invocation: Invocation): Promise<undefined> {
  const body = changesOf(invocation);
  if (Object.values(body).every((value) => value === undefined)) {
    throw new AiravataError("usage_invalid", "Nothing to change: see --help for what may be.");
  }
  const { client } = await invocation.connect();
  print(invocation, await client.call("changeUser", { params: { user: userOf(invocation) }, body }));
}

async function decide(invocation: Invocation, id: "disableUser" | "enableUser"): Promise<undefined> {
  const { client } = await invocation.connect();
  print(invocation, await client.call(id, { params: { user: userOf(invocation) } }));
}

async function reset(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  printWithPassword(invocation, await client.call("resetPassword", { params: { user: userOf(invocation) } }));
}

function userOf({ args }: Invocation): string {
  return args[0] ?? "";
}

function changesOf({ options }: Invocation) {
  const { displayName, email, role } = options as Record<"displayName" | "email" | "role", string | undefined>;
  if (role !== undefined && role !== "administrator" && role !== "operator" && role !== "none") {
    throw new AiravataError("usage_invalid", `--role is "${role}" but must be administrator, operator or none.`);
  }
  return {
    display_name: displayName,
    email: email === "none" ? null : email,
    platform_role: role === "none" ? null : (role as "administrator" | "operator" | undefined),
  };
}

/** The password alone on standard output, so that a script can take it. */
function printWithPassword(invocation: Invocation, user: UserWithPassword): void {
  if (invocation.json) {
    printJson(invocation, user);
    return;
  }
  const { out, err } = invocation;
  if (user.one_time_password === null) out.write(`${user.username} is user ${user.id}.\n`);
  else {
    out.write(`${user.one_time_password}\n`);
    err.write(`The one-time password of ${user.username} (user ${user.id}); it is shown this once.\n`);
  }
}

function print(invocation: Invocation, user: User): void {
  if (invocation.json) {
    printJson(invocation, user);
    return;
  }
  const provider: [string, string][] = user.identity_provider ? [["provider", user.identity_provider]] : [];
  invocation.out.write(
    renderFields(
      [
        ["user", user.id],
        ["username", user.username],
        ["name", user.display_name],
        ["email", user.email],
        ["role", user.platform_role],
        ["state", stateOf(user)],
        ...provider,
        ["created", humanTime(user.created_at)],
      ],
      invocation.out,
    ),
  );
}

function stateOf(user: User): string {
  if (user.disabled_at !== null) return "disabled";
  if (user.password_must_change) return "has a one-time password";
  return user.has_password || user.identity_provider !== null ? "good" : "no password";
}
