/**
 * At the start of an agent: the program that an update chose runs instead of the operator's own file, by becoming it. A
 * file that the operator has replaced since then wins, and so does whatever a keeper started on purpose.
 */
import { accessSync, constants } from "node:fs";
import { isSameFile, programFile, Releases } from "./releases.ts";

export interface StartChoice {
  /** The program to become. */
  program?: string;
  /** A sentence about a choice that does not hold any more. */
  notice?: string;
}

/** What to run for the agent of `stateDir` when `executable` was started. A choice that was overruled is forgotten. */
export function chosenProgram(stateDir: string, executable: string): StartChoice {
  const releases = new Releases(stateDir);
  const chosen = releases.chosen();
  const self = programFile(executable);
  if (chosen === undefined || self === undefined || self.path === chosen.program.path) return {};
  if (!isSameFile(self, chosen.base)) {
    releases.choose(null);
    const notice = `${executable} was replaced since version ${chosen.version} was chosen by an update: it runs as it is`;
    return { notice };
  }
  if (!isSameFile(programFile(chosen.program.path), chosen.program) || !isExecutable(chosen.program.path)) {
    releases.choose(null);
    const notice = `version ${chosen.version}, chosen by an update, is not whole in ${releases.directory}: ${executable} runs instead`;
    return { notice };
  }
  return { program: chosen.program.path };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
