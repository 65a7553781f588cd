/** `airavata credential`: secrets go into the vault and never come out; what is shown is what may be known of them. */
import type { Command } from "commander";
import type { Client } from "../../../shared/api/client.ts";
import type { Credential } from "../../../shared/api/credential.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { CREDENTIAL_TYPES, type CredentialType } from "../../../shared/model/credential.ts";
import { humanTime } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { readSecret } from "../secret.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { addCredentialTieCommands } from "./credential-ties.ts";
import { addCommand, addGroup, type Bind, oneOf, wholeNumber } from "./tree.ts";

const FROM_FILE: [string, string] = [
  "--from-file <file>",
  "file that holds the secret; - for standard input, which is also read when it is a pipe; else it is asked for",
];
const EXACT: [string, string] = ["--exact", "keep a line end after the last line of a password, key or token"];
/** Their files end with a line end that belongs to them. */
const WHOLE_FILES: readonly CredentialType[] = ["SSH_KEY", "CERTIFICATE"];

export function addCredentialCommands(program: Command, bind: Bind): void {
  const group = addGroup(program, "credential", "secrets in the vault: SSH keys, passwords, tokens");
  const create = addCommand(
    group,
    {
      usage: "create <name>",
      description: "put a secret into the vault",
      options: [
        ["--type <type>", `${CREDENTIAL_TYPES.join(", ")}; in any case`, oneOf(CREDENTIAL_TYPES)],
        FROM_FILE,
        EXACT,
        ["--username <name>", "whom it logs in, or the id that belongs to a key"],
        ["--description <text>", "what it is for"],
        ["--for-project <name>", "who manages that project manages the credential too"],
      ],
      examples: [
        "credential create cluster --type ssh_key --from-file ~/.ssh/id_cluster --username alice",
        "credential create archive --type password --username alice",
        "pass show s3 | airavata credential create s3 --type api_key --username AKIA…",
      ],
    },
    bind,
    createCredential,
  );
  const rotate = addCommand(
    group,
    {
      usage: "rotate <credential>",
      description: "give it a new secret",
      options: [FROM_FILE, EXACT],
      examples: ["credential rotate cluster --from-file ~/.ssh/id_new"],
    },
    bind,
    rotateCredential,
  );
  for (const command of [create, rotate]) refuseSecretArguments(command);
  addCommand(
    group,
    {
      usage: "list",
      description: "list the credentials that you may see, newest first",
      options: [
        ["--type <type>", "only of this type", oneOf(CREDENTIAL_TYPES)],
        ["--deleted", "also the deleted ones"],
        ["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)],
      ],
      examples: ["credential list --type ssh_key"],
    },
    bind,
    list,
  );
  addCommand(
    group,
    { usage: "show <credential>", description: "show what is known of it", examples: ["credential show cluster"] },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "update <credential>",
      description: "change name, description or user name",
      options: [
        ["--name <name>", "another name"],
        ["--username <name>", "whom it logs in; none takes it away"],
        ["--description <text>", "what it is for"],
      ],
      examples: ["credential update cluster --username bob", "credential update 104 --name new-cluster"],
    },
    bind,
    update,
  );
  addCommand(
    group,
    {
      usage: "delete <credential>",
      description: "destroy its secret; its history stays",
      examples: ["credential delete cluster"],
    },
    bind,
    remove,
  );
  addCommand(
    group,
    {
      usage: "test <credential>",
      description: "read it from the vault and look whether it is whole and holds; exit 1 when it is not",
      examples: ["credential test cluster"],
    },
    bind,
    test,
  );
  addCredentialTieCommands(group, bind);
}

async function createCredential(invocation: Invocation): Promise<undefined> {
  const { type, username, description, forProject } = invocation.options as Record<string, string | undefined>;
  if (type === undefined) {
    throw new AiravataError("usage_invalid", `--type must be given: one of ${CREDENTIAL_TYPES.join(", ")}.`);
  }
  const { client } = await invocation.connect();
  const secret = await secretOf(invocation, type as CredentialType);
  const credential = await client.call("createCredential", {
    body: {
      name: invocation.args[0] ?? "",
      type: type as CredentialType,
      secret,
      username,
      description,
      project: forProject,
    },
    idempotencyKey: crypto.randomUUID(),
  });
  print(invocation, credential);
}

async function rotateCredential(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { id, type } = await credentialNamed(invocation, client);
  const secret = await secretOf(invocation, type);
  print(invocation, await client.call("rotateCredential", { params: { credential: id }, body: { secret } }));
}

async function list(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT, type, deleted } = invocation.options;
  const page = await collectPages(limit as number, (query) =>
    client.call("listCredentials", {
      query: { ...query, type: type as CredentialType | undefined, deleted: deleted ? "true" : "false" },
    }),
  );
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<Credential>[] = [
    { title: "ID", value: ({ id }) => id, align: "right" },
    { title: "NAME", value: ({ name }) => name, whole: true },
    { title: "TYPE", value: ({ type }) => type, whole: true },
    { title: "OWNER", value: ({ owner }) => owner.name },
    { title: "PROJECT", value: ({ project }) => project, optional: true },
    { title: "ENDS", value: ({ facts }) => (facts.expires_at ? humanTime(facts.expires_at) : "") },
    { title: "LAST USED", value: ({ last_used_at: at }) => humanTime(at), optional: true },
    ...(deleted ? [{ title: "DELETED", value: ({ deleted_at: at }: Credential) => (at ? humanTime(at) : "") }] : []),
    { title: "DESCRIPTION", value: ({ description }) => description, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "No credentials."));
  invocation.out.write(moreLine(page));
}

async function show(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  print(invocation, await credentialNamed(invocation, client));
}

async function update(invocation: Invocation): Promise<undefined> {
  const { name, username, description } = invocation.options as Record<string, string | undefined>;
  if (name === undefined && username === undefined && description === undefined) {
    throw new AiravataError("usage_invalid", 'Nothing is to be changed: see "airavata credential update --help".');
  }
  const { client } = await invocation.connect();
  const { id: credential, version } = await credentialNamed(invocation, client);
  const body = { name, description, username: username === "none" ? null : username, version };
  print(invocation, await client.call("changeCredential", { params: { credential }, body }));
}

async function remove(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  const deleted = await client.call("deleteCredential", { params: { credential } });
  if (invocation.json) return printJson(invocation, deleted) as undefined;
  invocation.out.write(`Credential ${deleted.name} (${deleted.id}) is deleted.\n`);
}

async function test(invocation: Invocation): Promise<number> {
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  const result = await client.call("testCredential", { params: { credential } });
  if (invocation.json) printJson(invocation, result);
  else {
    for (const { step, ok, detail } of result.steps) {
      invocation.out.write(
        `${invocation.out.paint(ok ? "green" : "red", ok ? "ok  " : "bad ")} ${step.padEnd(6)} ${detail}\n`,
      );
    }
  }
  return result.ok ? 0 : 1;
}

/** The one that is named by its number, or by a name that only one of those has which one may see. */
export async function credentialNamed(invocation: Invocation, client: Client): Promise<Credential> {
  const given = invocation.args[0] ?? "";
  if (/^\d{1,15}$/.test(given)) return client.call("getCredential", { params: { credential: Number(given) } });
  const { items } = await client.call("listCredentials", { query: { name: given, limit: 10 } });
  const [first] = items;
  if (first === undefined) {
    throw new AiravataError("credential_not_found", `There is no credential "${given}" that you may see.`);
  }
  if (items.length === 1) return first;
  const each = items.map(({ id, owner }) => `${id} (${owner.name})`).join(", ");
  throw new AiravataError("usage_invalid", `Several credentials are named "${given}": give the number, of ${each}.`);
}

/** In base64. The bytes are wiped; the text that goes into the request is JavaScript's and goes when it is collected. */
async function secretOf(invocation: Invocation, type: CredentialType): Promise<string> {
  const { fromFile, exact } = invocation.options as { fromFile?: string; exact?: boolean };
  const isFile = WHOLE_FILES.includes(type);
  const what = `the ${type.toLowerCase().replace("_", " ")}`;
  const secret = await readSecret({ fromFile, what, twice: !isFile, trim: !isFile && !exact }, invocation.err);
  const text = secret.toString("base64");
  secret.fill(0);
  return text;
}

/** A second word can only be a secret: it is refused without being repeated. */
function refuseSecretArguments(command: Command): void {
  command.allowExcessArguments().hook("preAction", ({ args }) => {
    if (args.length <= 1) return;
    throw new AiravataError(
      "usage_invalid",
      "A secret is never an argument, because process lists and shell histories show it: use --from-file, a pipe or the prompt. If this was one, change it.",
    );
  });
}

function print(invocation: Invocation, credential: Credential): void {
  if (invocation.json) {
    printJson(invocation, credential);
    return;
  }
  const { facts } = credential;
  const fields: [string, string | number | null | undefined][] = [
    ["credential", `${credential.name} (${credential.id})`],
    ["type", credential.type],
    ["username", credential.username],
    ["description", credential.description],
    ["owner", credential.owner.name],
    ["project", credential.project],
    ["secret", `number ${credential.secret_number}, since ${humanTime(credential.rotated_at)}`],
    ["key", facts.key_type && [facts.key_type, facts.bits && `${facts.bits} bits`].filter(Boolean).join(", ")],
    ["fingerprint", facts.fingerprint],
    ["public key", facts.public_key],
    ["subject", facts.subject],
    ["issuer", facts.issuer],
    ["ends", facts.expires_at && humanTime(facts.expires_at)],
    ["last used", humanTime(credential.last_used_at)],
    ["deleted", credential.deleted_at && humanTime(credential.deleted_at)],
  ];
  invocation.out.write(
    renderFields(
      fields.filter(([, value]) => value),
      invocation.out,
    ),
  );
}
