/** All commands, in the groups and the order in which help shows them. */
import type { Command } from "commander";
import { addAdminCommands } from "./admin.ts";
import { addAgentCommands } from "./agent.ts";
import { addAuditCommands } from "./audit.ts";
import { addAuthCommands } from "./auth.ts";
import { addProgramCommands } from "./completion.ts";
import { addCoordinatorCommands } from "./coordinator.ts";
import { addCredentialCommands } from "./credential.ts";
import { addEnrolmentCommands } from "./enrolment.ts";
import { addExperimentCommands } from "./experiment.ts";
import { addGroupCommands } from "./group.ts";
import { addProjectCommands } from "./project.ts";
import { addResourceCommands } from "./resource.ts";
import { addRunCommand } from "./run.ts";
import { addTaskCommands } from "./task.ts";
import type { Bind } from "./tree.ts";
import { addUnsupportedCommands } from "./unsupported.ts";
import { addUserCommands } from "./user.ts";

export function addEveryCommand(program: Command, bind: Bind): void {
  program.commandsGroup("Run and watch:");
  addRunCommand(program, bind);
  addExperimentCommands(program, bind);
  addTaskCommands(program, bind);
  program.commandsGroup("Coordinator and agents:");
  addCoordinatorCommands(program, bind);
  addAgentCommands(program, bind);
  addEnrolmentCommands(program, bind);
  addProjectCommands(program, bind);
  addGroupCommands(program, bind);
  addResourceCommands(program, bind);
  addCredentialCommands(program, bind);
  addAuditCommands(program, bind);
  addAuthCommands(program, bind);
  addUserCommands(program, bind);
  addAdminCommands(program, bind);
  program.commandsGroup("This program:");
  addProgramCommands(program, bind);
  program.commandsGroup("Not in this version yet:");
  addUnsupportedCommands(program, bind);
}
