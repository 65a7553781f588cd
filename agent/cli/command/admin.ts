/** `airavata admin check`: whether the server is well. */
import type { Command } from "commander";
import { AiravataError } from "../../../shared/error/error.ts";
import { Exit, exitForStatus } from "../../../shared/error/exit.ts";
import { AuditFault, checkAudit } from "../audit-check.ts";
import { humanDuration } from "../format.ts";
import { type Invocation, printJson } from "../invocation.ts";
import { renderTable } from "../table.ts";
import { addCommand, addGroup, type Bind } from "./tree.ts";
import { addVaultCommands } from "./vault.ts";

export function addAdminCommands(program: Command, bind: Bind): void {
  const admin = addGroup(program, "admin", "look after an installation");
  addCommand(
    admin,
    {
      usage: "check",
      description: "ask the server whether all is well; compute the audit's chain anew",
      options: [["--anchors <file>", "compare the chain with heads that were kept outside (AIRAVATA_AUDIT_ANCHOR)"]],
      examples: ["admin check", "admin check --anchors /mnt/worm/audit.anchors", "admin check --json"],
    },
    bind,
    check,
  );
  addVaultCommands(admin, bind);
}

interface Check {
  check: string;
  /** Null: not looked at, because whoever asks may not. */
  ok: boolean | null;
  detail: string;
  /** Exit code that its failure stands for. */
  exit: number;
}

function isForbidden(error: unknown): boolean {
  return (error as { code?: unknown }).code === "forbidden";
}

/** Exit 0 when all is well, else the code of the first thing that is not. */
async function check(invocation: Invocation): Promise<number> {
  const { client } = await invocation.connect();
  const checks: Check[] = [];
  const look = async (name: string, ask: () => Promise<string>): Promise<void> => {
    try {
      checks.push({ check: name, ok: true, detail: await ask(), exit: Exit.DONE });
    } catch (error) {
      const { status, message } = error as { status?: unknown; message: string };
      if (error instanceof AuditFault) {
        checks.push({ check: name, ok: false, detail: message, exit: Exit.FAILED });
        return;
      }
      if (isForbidden(error)) {
        checks.push({ check: name, ok: null, detail: `not looked at: ${message}`, exit: Exit.DONE });
        return;
      }
      if (!(error instanceof AiravataError) && typeof status !== "number") throw error;
      checks.push({ check: name, ok: false, detail: message, exit: exitForStatus(status as number) });
    }
  };
  await look("server", async () => `version ${(await client.call("health", {})).version} at ${client.server}`);
  await look("database", async () => {
    const { latency_seconds } = await client.call("healthDatabase", {});
    return `answers in ${humanDuration(latency_seconds)}`;
  });
  await look("dispatcher", async () => (await client.call("healthReady", {})).detail);
  await look("token", async () => `accepted as ${(await client.call("currentUser", {})).name}`);
  const { anchors } = invocation.options as { anchors?: string };
  await look("audit", () => checkAudit(client, anchors));
  const failed = checks.find(({ ok }) => ok === false);
  if (invocation.json) {
    printJson(invocation, {
      ok: failed === undefined,
      checks: checks.map(({ check, ok, detail }) => ({ check, ok, detail })),
    });
  } else {
    const { out } = invocation;
    const columns = [
      { title: "CHECK", value: (entry: Check) => entry.check, whole: true },
      {
        title: "RESULT",
        value: (entry: Check) => (entry.ok === null ? "skipped" : entry.ok ? "ok" : "failed"),
        whole: true,
      },
      { title: "DETAIL", value: (entry: Check) => entry.detail },
    ];
    out.write(renderTable(columns, checks, out, ""));
    // Whole, where the table had to cut it.
    if (failed && out.columns > 0) invocation.err.write(`${failed.check}: ${failed.detail}\n`);
  }
  return failed?.exit ?? Exit.DONE;
}
