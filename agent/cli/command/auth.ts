/** `airavata auth login|logout|status|refresh|password|sessions|token`: who one is to the server, and stays. */
import { hostname } from "node:os";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type { Login, Session } from "../../../shared/api/account.ts";
import { createClient } from "../../../shared/api/client.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { loginByDevice } from "../device.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { notLoggedIn, renewed, storedLogin } from "../login/client.ts";
import { Credentials } from "../login/credentials.ts";
import { readSecret } from "../secret.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { PROGRAM_VERSION } from "../version.ts";
import { addTokenCommands } from "./token.ts";
import { addCommand, addGroup, type Bind, wholeNumber } from "./tree.ts";

const PASSWORD_STDIN: [string, string] = ["--password-stdin", "read it from standard input, a line each"];

export function addAuthCommands(program: Command, bind: Bind): void {
  const auth = addGroup(program, "auth", "log in, and see who you are to the server");
  addCommand(
    auth,
    {
      usage: "login",
      description: "log in with username and password, or by the identity provider",
      options: [
        ["--oidc", "by the server's identity provider: shows an address and a code to enter there, on any machine"],
        ["--username <name>", "who you are; asked for when not given"],
        [
          "--password-stdin",
          "read the password from standard input; a second line is the new one, when it must be changed",
        ],
      ],
      examples: [
        "auth login --username ada",
        "auth login --oidc",
        "auth login --username ada --password-stdin < password.txt",
      ],
    },
    bind,
    login,
  );
  addCommand(
    auth,
    {
      usage: "logout",
      description: "end this login at the server and forget it here",
      options: [["--everywhere", "end all of your logins"]],
      examples: ["auth logout", "auth logout --everywhere"],
    },
    bind,
    logout,
  );
  addCommand(
    auth,
    { usage: "status", description: "show the server, who you are to it and until when", examples: ["auth status"] },
    bind,
    status,
  );
  addCommand(
    auth,
    { usage: "refresh", description: "renew the login now; commands do it by themselves", examples: ["auth refresh"] },
    bind,
    refresh,
  );
  addCommand(
    auth,
    {
      usage: "password",
      description: "change your password; your other logins end",
      options: [["--end-tokens", "end all of your personal tokens too"], PASSWORD_STDIN],
      examples: ["auth password", "auth password --end-tokens", 'auth password --password-stdin < "old-and-new.txt"'],
    },
    bind,
    password,
  );
  addCommand(
    auth,
    {
      usage: "sessions",
      description: "list your logins, or end one",
      options: [["--end <id>", "end this one", wholeNumber(1)]],
      examples: ["auth sessions", "auth sessions --end 17"],
    },
    bind,
    sessions,
  );
  addTokenCommands(auth, bind);
}

async function login(invocation: Invocation): Promise<undefined> {
  const { settings, err } = invocation;
  const { username: given, oidc = false } = invocation.options as { username?: string; oidc?: boolean };
  const { server } = (await invocation.connect()).client;
  if (new URL(server).protocol === "http:" && !isLoopback(server)) {
    err.write(
      `${err.paint("yellow", "warning:")} ${server} is not https: whoever listens can read the ${oidc ? "login" : "password"}.\n`,
    );
  }
  if (oidc) {
    const answer = await loginByDevice({ client: createClient({ server }), err });
    await new Credentials(settings.credentialsPath).put(server, storedLogin(answer));
    printLogin(invocation, server, answer, answer.password_must_change);
    return;
  }
  const username = given ?? (await askUsername(invocation));
  const [typed, next] = await passwords(invocation, ["the password"]);
  const anyone = createClient({ server });
  const client = `airavata ${PROGRAM_VERSION} on ${hostname()}`.slice(0, 200);
  const answer = await anyone.call("logIn", { body: { username, password: typed, client } });
  const credentials = new Credentials(settings.credentialsPath);
  await credentials.put(server, storedLogin(answer));
  let mustChange = answer.password_must_change;
  if (mustChange && (next !== undefined || process.stdin.isTTY)) {
    err.write("This password is good for one login: choose your own.\n");
    const chosen = next ?? (await askPassword(invocation, "your new password", true));
    const own = createClient({ server, token: answer.access_token });
    await own.call("changePassword", { body: { current_password: typed, new_password: chosen } });
    mustChange = false;
  }
  printLogin(invocation, server, answer, mustChange);
}

function printLogin(invocation: Invocation, server: string, login: Login, mustChange: boolean): void {
  const shown = { server, username: login.username, expires_at: login.refresh_expires_at };
  if (invocation.json) {
    printJson(invocation, { ...shown, password_must_change: mustChange });
    return;
  }
  invocation.out.write(`Logged in at ${server} as ${login.username}.\n`);
  if (mustChange)
    invocation.err.write('The password must be changed before anything else: "airavata auth password".\n');
}

async function logout(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const credentials = new Credentials(invocation.settings.credentialsPath);
  const { everywhere = false } = invocation.options as { everywhere?: boolean };
  let ended = 0;
  if ((await credentials.find(client.server)) === undefined) throw notLoggedIn(client.server);
  try {
    ended = (await client.call("logOut", { body: { everywhere } })).ended;
  } catch (error) {
    // It has ended already: then there is only what is here.
    const { code } = error as { code?: string };
    if (code !== "not_logged_in" && code !== "unauthorized" && code !== "session_required") throw error;
  }
  await credentials.put(client.server, undefined);
  if (invocation.json) return printJson(invocation, { server: client.server, ended }) as undefined;
  const others = ended > 1 ? `; ${ended} logins ended` : "";
  invocation.out.write(`Logged out at ${client.server}${others}.\n`);
}

async function status(invocation: Invocation): Promise<undefined> {
  const { client, localDataDir } = await invocation.connect();
  const user = await client.call("currentUser", {});
  const kept = await new Credentials(invocation.settings.credentialsPath).find(client.server);
  const login = user.via === `session ${kept?.session}` ? kept : undefined;
  const server = { url: client.server, data_dir: localDataDir ?? null };
  const until = login?.refresh_expires_at ?? null;
  if (invocation.json) return printJson(invocation, { server, user, expires_at: until }) as undefined;
  const limited = user.scopes === null || user.password_must_change ? [] : [["limited to", user.scopes.join(", ")]];
  invocation.out.write(
    renderFields(
      [
        ["server", client.server],
        ["found by", localDataDir === undefined ? invocation.settings.origin.server : `the stack in ${localDataDir}`],
        ["logged in as", `${user.name} (${user.via.replaceAll("_", " ")})`],
        ...(user.platform_role === null ? [] : [["role", user.platform_role] as [string, string]]),
        ...(limited as [string, string][]),
        ...(until === null ? [] : [["until", `${humanTime(until)}, longer with each use`] as [string, string]]),
        ...(user.password_must_change
          ? [["to do", "change the password: airavata auth password"] as [string, string]]
          : []),
      ],
      invocation.out,
    ),
  );
}

async function refresh(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const credentials = new Credentials(invocation.settings.credentialsPath);
  const next = await renewed(client.server, credentials, await credentials.find(client.server));
  if (next === undefined) throw notLoggedIn(client.server);
  const { username, access_expires_at, refresh_expires_at } = next;
  if (invocation.json) {
    return printJson(invocation, {
      server: client.server,
      username,
      access_expires_at,
      refresh_expires_at,
    }) as undefined;
  }
  invocation.out.write(`Logged in at ${client.server} as ${username}, until ${humanTime(refresh_expires_at)}.\n`);
}

async function password(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { endTokens = false } = invocation.options as { endTokens?: boolean };
  const tokens = endTokens ? { end_tokens: true } : {};
  const [current = "", next = ""] = await passwords(invocation, ["your present password", "your new password"]);
  await client.call("changePassword", { body: { current_password: current, new_password: next, ...tokens } });
  if (invocation.json) return printJson(invocation, { changed: true }) as undefined;
  invocation.out.write(
    `The password is changed; your other logins${endTokens ? " and your personal tokens" : ""} have ended.\n`,
  );
}

async function sessions(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { end } = invocation.options as { end?: number };
  if (end !== undefined) {
    const answer = await client.call("revokeSession", { params: { session: end } });
    if (invocation.json) return printJson(invocation, answer) as undefined;
    invocation.out.write(`Login ${end} has ended.\n`);
    return;
  }
  const list = await client.call("listSessions", {});
  if (invocation.json) return printJson(invocation, list) as undefined;
  const columns: Column<Session>[] = [
    { title: "ID", value: (session) => session.id, align: "right" },
    { title: "", value: (session) => (session.current ? "this one" : " ") },
    { title: "CLIENT", value: (session) => session.client },
    { title: "FROM", value: (session) => session.address, optional: true },
    { title: "SINCE", value: (session) => humanTime(session.created_at), whole: true, optional: true },
    { title: "LAST RENEWED", value: (session) => humanTime(session.refreshed_at), whole: true },
    { title: "UNTIL", value: (session) => humanTime(session.expires_at), whole: true },
  ];
  invocation.out.write(renderTable(columns, list.items, invocation.out, "No logins."));
}

/** As many as are asked for; from standard input as many as there are lines. */
async function passwords(invocation: Invocation, what: string[]): Promise<[string, ...string[]]> {
  const { passwordStdin } = invocation.options as { passwordStdin?: boolean };
  if (!passwordStdin && process.stdin.isTTY) {
    const typed: string[] = [];
    for (const [i, each] of what.entries()) typed.push(await askPassword(invocation, each, i > 0));
    return typed as [string, ...string[]];
  }
  const bytes = await readSecret({ fromFile: "-", what: what.join(", "), twice: false, trim: true }, invocation.err);
  const [first = "", ...lines] = bytes.toString("utf8").split(/\r?\n/);
  if (first === "" || lines.length + 1 < what.length) {
    throw new AiravataError("usage_invalid", `Standard input must hold ${what.join(" and then ")}, a line each.`);
  }
  return [first, ...lines];
}

async function askPassword({ err }: Invocation, what: string, twice: boolean): Promise<string> {
  const bytes = await readSecret({ fromFile: undefined, what, twice, trim: true }, err);
  return bytes.toString("utf8");
}

async function askUsername({ options }: Invocation): Promise<string> {
  if (options.passwordStdin === true || !process.stdin.isTTY) {
    throw new AiravataError("usage_invalid", "There is no terminal to ask on: say who you are with --username.");
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await asking.question("Username: ")).trim();
  } finally {
    asking.close();
  }
}

function isLoopback(server: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(server).hostname);
}
