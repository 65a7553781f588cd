/**
 * `up`, `server`, `daemon` and `both` as this half of the system sees them: named in help and completion. In a checkout
 * they never come here; the single executable holds no coordinator and says so.
 */
import type { Command } from "commander";
import { AiravataError } from "../../../shared/error/error.ts";
import type { Bind } from "./tree.ts";

const COORDINATOR_COMMANDS: [name: string, description: string][] = [
  ["up", "start everything on this machine: database, coordinator, one agent"],
  ["server", "the coordinator on the PostgreSQL that DATABASE_URL names"],
  ["daemon", "the same as server in this version"],
  ["both", "the same as server in this version"],
];

export function addCoordinatorCommands(program: Command, bind: Bind): void {
  for (const [name, description] of COORDINATOR_COMMANDS) {
    program
      .command(name)
      .description(description)
      .helpOption(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .action(
        bind(async () => {
          throw new AiravataError(
            "coordinator_not_included",
            `This executable holds the client and the agent, not the coordinator: run "bin/airavata ${name}" from a checkout, or the container image.`,
          );
        }),
      );
  }
}
