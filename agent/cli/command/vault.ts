/** `airavata admin vault`: where secrets are kept, and the sealed directory's keys. */
import type { Command } from "commander";
import { type Invocation, printJson } from "../invocation.ts";
import { renderFields } from "../table.ts";
import { addCommand, addGroup, type Bind } from "./tree.ts";

export function addVaultCommands(admin: Command, bind: Bind): void {
  const group = addGroup(admin, "vault", "where secrets are kept");
  addCommand(
    group,
    {
      usage: "show",
      description: "show it, and whether it answers; exit 4 when it does not",
      examples: ["admin vault show"],
    },
    bind,
    show,
  );
  addCommand(
    group,
    {
      usage: "rotate-key",
      description: "seal everything in the sealed directory under a new key",
      examples: ["admin vault rotate-key"],
    },
    bind,
    rotateKey,
  );
}

async function show(invocation: Invocation): Promise<number> {
  const { client } = await invocation.connect();
  const vault = await client.call("getVault", {});
  if (invocation.json) printJson(invocation, vault);
  else {
    const kind = vault.kind === "openbao" ? "OpenBao" : "sealed directory";
    const fields: [string, string][] = [
      ["vault", kind],
      ["place", vault.place],
      ["state", vault.state],
      ["detail", vault.detail],
    ];
    invocation.out.write(renderFields(fields, invocation.out));
  }
  return vault.state === "ready" ? 0 : 4;
}

async function rotateKey(invocation: Invocation): Promise<undefined> {
  const { client } = await invocation.connect();
  const key = await client.call("rotateVaultKey", {});
  if (invocation.json) return printJson(invocation, key) as undefined;
  invocation.out.write(`Everything is sealed under key ${key.key}; the ones before are gone.\n`);
}
