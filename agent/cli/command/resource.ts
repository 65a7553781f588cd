/** `airavata compute …` and `airavata storage …`: the registry of resources, the same commands for both. */
import type { Command } from "commander";
import { COMPUTE_KINDS, type Resource, STORAGE_KINDS } from "../../../shared/api/resource.ts";
import { AiravataError } from "../../../shared/error/error.ts";
import { humanTime } from "../format.ts";
import { eachGrantee, printShares } from "../grantee.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { collectPages, LIST_ROWS_DEFAULT, moreLine } from "../page.ts";
import { type Column, renderFields, renderTable } from "../table.ts";
import { configurationText, mergedConfiguration } from "./resource-configuration.ts";
import { addCommand, addGroup, type Bind, type CommandSpec, gather, wholeNumber } from "./tree.ts";

const REGISTRIES = {
  compute: {
    word: "compute",
    Word: "Compute",
    kinds: COMPUTE_KINDS,
    about: "compute resources: SLURM clusters, Kubernetes namespaces, hosts",
    example: "--kind slurm --set host=login.example.org --set partition=long",
  },
  storage: {
    word: "storage",
    Word: "Storage",
    kinds: STORAGE_KINDS,
    about: "storage resources: buckets, SFTP servers, trees of files",
    example: "--kind s3 --set bucket=ligands --set region=eu-central-1",
  },
} as const;
type Registry = (typeof REGISTRIES)[keyof typeof REGISTRIES];

export function addResourceCommands(program: Command, bind: Bind): void {
  for (const registry of Object.values(REGISTRIES)) add(program, registry, bind);
}

const SET: NonNullable<CommandSpec["options"]>[number] = [
  "--set <key=value>",
  "a value of its configuration, never a secret; repeat it for more, the same key again makes a list",
  gather,
];

function add(program: Command, registry: Registry, bind: Bind): void {
  const { word, Word, kinds, about, example } = registry;
  const group = addGroup(program, word, about);
  const description: [string, string] = ["--description <text>", "for people"];
  const command = (spec: CommandSpec, run: (invocation: Invocation) => Promise<undefined>): void => {
    addCommand(group, spec, bind, run);
  };
  command(
    {
      usage: "create <name>",
      description: "enter one: of a project (--project), or of the installation",
      options: [
        ["--kind <kind>", `one of ${kinds.join(", ")}`],
        ["--installation", "it is of no project"],
        description,
        SET,
      ],
      examples: [`${word} create ours --project physics ${example}`],
    },
    (invocation) => create(invocation, registry),
  );
  const limit: [string, string, (value: string) => number] = [
    "--limit <n>",
    `at most this many (default ${LIST_ROWS_DEFAULT})`,
    wholeNumber(1),
  ];
  command(
    { usage: "list", description: "list those that you may use", options: [limit], examples: [`${word} list`] },
    (invocation) => list(invocation, registry),
  );
  command(
    { usage: "show <name>", description: "show one, and with whom it is shared", examples: [`${word} show ours`] },
    async (invocation) => {
      const { client } = await invocation.connect();
      const params = paramsOf(invocation);
      const resource = await client.call(`get${Word}Resource`, { params });
      const shares = await client.call(`list${Word}Shares`, { params });
      if (invocation.json) return printJson(invocation, { ...resource, shares: shares.items }) as undefined;
      print(invocation, resource);
      invocation.out.write("\n");
      return printShares(invocation, shares);
    },
  );
  command(
    {
      usage: "update <name>",
      description: "change its description, or values of its configuration",
      options: [description, SET, ["--unset <key>", "take a value away; repeat it for more", gather]],
      examples: [`${word} update ours --set host=login2.example.org`, `${word} update ours --unset partition`],
    },
    (invocation) => update(invocation, registry),
  );
  command(
    { usage: "delete <name>", description: "delete one that nothing is bound to", examples: [`${word} delete ours`] },
    async (invocation) => {
      const { client } = await invocation.connect();
      const deleted = await client.call(`delete${Word}Resource`, { params: paramsOf(invocation) });
      if (invocation.json) return printJson(invocation, deleted) as undefined;
      invocation.out.write(`${Word} resource ${deleted.name} is deleted.\n`);
      return undefined;
    },
  );
  command(
    {
      usage: "share <name> <who...>",
      description: "let people, or groups as group:NAME, use it",
      options: [["--write", "also change it and bind credentials to it"]],
      examples: [`${word} share ours alice group:lab`, `${word} share ours bob --write`],
    },
    async (invocation) => {
      const { client } = await invocation.connect();
      const params = paramsOf(invocation);
      const access = invocation.options.write === true ? "write" : "read";
      const share = (who: object) => client.call(`share${Word}Resource`, { params, body: { ...who, access } });
      return printShares(invocation, await eachGrantee(invocation, share));
    },
  );
  command(
    { usage: "unshare <name> <who...>", description: "take it away again", examples: [`${word} unshare ours alice`] },
    async (invocation) => {
      const { client } = await invocation.connect();
      const params = paramsOf(invocation);
      const unshare = (query: object) => client.call(`unshare${Word}Resource`, { params, query });
      return printShares(invocation, await eachGrantee(invocation, unshare));
    },
  );
}

async function create(invocation: Invocation, { Word, kinds }: Registry): Promise<undefined> {
  const { kind, installation, description, set } = invocation.options as {
    kind?: string;
    installation?: boolean;
    description?: string;
    set?: string[];
  };
  const known = kinds.find((one) => one === kind);
  if (!known)
    throw new AiravataError("usage_invalid", `--kind is "${kind ?? ""}" but must be one of ${kinds.join(", ")}.`);
  const { project } = invocation.settings.values;
  if (!installation && project === undefined) {
    throw new AiravataError("usage_invalid", "Say whose it is: --project NAME, or --installation.");
  }
  const owner = installation ? {} : { project };
  const name = invocation.args[0] ?? "";
  const { client } = await invocation.connect();
  const body = { name, kind: known, description, ...owner, configuration: mergedConfiguration({}, set, []) };
  print(invocation, await client.call(`create${Word}Resource`, { body: body as never }));
}

async function update(invocation: Invocation, { word, Word }: Registry): Promise<undefined> {
  const {
    description,
    set = [],
    unset = [],
  } = invocation.options as {
    description?: string;
    set?: string[];
    unset?: string[];
  };
  if (description === undefined && set.length + unset.length === 0) {
    throw new AiravataError("usage_invalid", `Nothing is to be changed: see "airavata ${word} update --help".`);
  }
  const { client } = await invocation.connect();
  const params = paramsOf(invocation);
  const present = await client.call(`get${Word}Resource`, { params });
  // With the version that the present values were read of: somebody else's change is not undone.
  const configuration =
    set.length + unset.length === 0 ? undefined : mergedConfiguration(present.configuration, set, unset);
  const body = { description, configuration, version: present.version };
  print(invocation, await client.call(`change${Word}Resource`, { params, body }));
}

async function list(invocation: Invocation, { Word, word }: Registry): Promise<undefined> {
  const { client } = await invocation.connect();
  const { limit = LIST_ROWS_DEFAULT } = invocation.options;
  const page = await collectPages(limit as number, (query) => client.call(`list${Word}Resources`, { query }));
  if (invocation.json) return printJson(invocation, page) as undefined;
  const columns: Column<Resource>[] = [
    { title: "NAME", value: (resource) => resource.name, whole: true },
    { title: "KIND", value: (resource) => resource.kind },
    { title: "PROJECT", value: (resource) => resource.project },
    { title: "CONFIGURATION", value: configurationText },
    { title: "DESCRIPTION", value: (resource) => resource.description, optional: true },
  ];
  invocation.out.write(renderTable(columns, page.items, invocation.out, `No ${word} resources.`));
  invocation.out.write(moreLine(page));
}

function print(invocation: Invocation, resource: Resource): undefined {
  if (invocation.json) return printJson(invocation, resource) as undefined;
  invocation.out.write(
    renderFields(
      [
        ["name", resource.name],
        ["kind", resource.kind],
        ["project", resource.project ?? "none, it is the installation's"],
        ["description", resource.description],
        ["configuration", configurationText(resource)],
        ["created", humanTime(resource.created_at)],
      ],
      invocation.out,
    ),
  );
}

function paramsOf({ args }: Invocation): { resource: string } {
  return { resource: args[0] ?? "" };
}
