/** `airavata credential bind|unbind|share|unshare|usage`: what a credential is used with, by whom, and who may. */
import type { Command } from "commander";
import type { CredentialBindings, CredentialUse } from "../../../shared/api/credential.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { humanTime } from "../format.ts";
import { eachGrantee, printShares } from "../grantee.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { renderTable } from "../table.ts";
import { credentialNamed } from "./credential.ts";
import { addCommand, type Bind, type CommandSpec, wholeNumber } from "./tree.ts";

const RESOURCE: CommandSpec["options"] = [
  ["--compute <name>", "a compute resource, by its name or number"],
  ["--storage <name>", "a storage resource, by its name or number"],
];
export function addCredentialTieCommands(group: Command, bind: Bind): void {
  const add = (spec: CommandSpec, run: (invocation: Invocation) => Promise<undefined>) => {
    addCommand(group, spec, bind, run);
  };
  add(
    {
      usage: "bind <credential>",
      description: "use it with a resource that you may change",
      options: RESOURCE,
      examples: ["credential bind cluster --compute hpc"],
    },
    bindTo,
  );
  add(
    {
      usage: "unbind <credential>",
      description: "use it with a resource no longer",
      options: RESOURCE,
      examples: ["credential unbind cluster --compute hpc"],
    },
    unbindFrom,
  );
  add(
    {
      usage: "share <credential> <who...>",
      description: "let people, or groups as group:NAME, see and test it",
      options: [["--write", "also rotate, change and bind it"]],
      examples: ["credential share cluster group:physics", "credential share cluster bob --write"],
    },
    shareWith,
  );
  add(
    {
      usage: "unshare <credential> <who...>",
      description: "take it away again",
      examples: ["credential unshare cluster bob"],
    },
    unshareWith,
  );
  add(
    {
      usage: "usage <credential>",
      description: "who used it and what for, newest first",
      options: [["--limit <n>", `at most this many (default ${LIST_ROWS_DEFAULT})`, wholeNumber(1)]],
      examples: ["credential usage cluster"],
    },
    usage,
  );
}

async function bindTo(invocation: Invocation): Promise<undefined> {
  const resource = resourceOf(invocation);
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  printBindings(invocation, await client.call("bindCredential", { params: { credential }, body: resource }));
}

async function unbindFrom(invocation: Invocation): Promise<undefined> {
  const resource = resourceOf(invocation);
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  printBindings(invocation, await client.call("unbindCredential", { params: { credential }, query: resource }));
}

async function shareWith(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  const access = invocation.options.write === true ? "write" : "read";
  const share = (who: object) => client.call("shareCredential", { params: { credential }, body: { ...who, access } });
  printShares(invocation, await eachGrantee(invocation, share));
}

async function unshareWith(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  const unshare = (query: object) => client.call("unshareCredential", { params: { credential }, query });
  printShares(invocation, await eachGrantee(invocation, unshare));
}

async function usage(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const { id: credential } = await credentialNamed(invocation, client);
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) =>
    client.call("credentialUsage", { params: { credential }, query }),
  );
  if (invocation.json) return printJson(invocation, page) as undefined;
  const resourceName = ({ resource }: CredentialUse) => resource && `${resource.type.replace("_", " ")} ${resource.id}`;
  const columns = [
    { title: "AT", value: ({ at }: CredentialUse) => humanTime(at), whole: true },
    { title: "TIMES", value: ({ times }: CredentialUse) => times, align: "right" as const },
    { title: "BY", value: ({ by }: CredentialUse) => by.name },
    { title: "FOR", value: ({ purpose }: CredentialUse) => purpose },
    { title: "WITH", value: resourceName, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, "It was not used yet."));
  invocation.out.write(moreLine(page));
}

function resourceOf({ options }: Invocation): { compute_resource?: string; storage_resource?: string } {
  const { compute, storage } = options as { compute?: string; storage?: string };
  if (compute !== undefined && storage === undefined) return { compute_resource: compute };
  if (storage !== undefined && compute === undefined) return { storage_resource: storage };
  throw new AiravataError("usage_invalid", "Name one resource: --compute NAME or --storage NAME.");
}

function printBindings(invocation: Invocation, bindings: CredentialBindings): void {
  if (invocation.json) {
    printJson(invocation, bindings);
    return;
  }
  const names = bindings.items.map(({ resource: { type, name } }) => `${type.replace("_", " ")} ${name}`);
  invocation.out.write(`Bound to ${names.join(", ") || "nothing"}.\n`);
}
