/** Where an experiment's outputs are for whoever looks for them: on this machine by path, elsewhere by command. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** More local agents than this are named by their common directory. */
const DIRECTORIES_SHOWN = 4;

/** Lines that begin with `Outputs:`. `localDataDir` is set when the experiment ran on the embedded stack of this machine. */
export function outputsText(experiment: number, localDataDir: string | undefined): string {
  const download = `airavata experiment download ${experiment}`;
  const found = localDataDir === undefined ? [] : localDirectories(localDataDir, experiment);
  if (found.length === 0) return `Outputs: ${download}\n`;
  const shown = found.slice(0, DIRECTORIES_SHOWN);
  const more = found.length > shown.length ? [`and ${found.length - shown.length} more agents`] : [];
  return `Outputs: ${[...shown, ...more].join("\n         ")}\n         (or fetch them with "${download}")\n`;
}

/** The readable links of each local agent that ran some of it. */
function localDirectories(dataDir: string, experiment: number): string[] {
  const agents = join(dataDir, "agents");
  try {
    return readdirSync(agents)
      .sort()
      .map((agent) => join(agents, agent, "work", String(experiment)))
      .filter((path) => existsSync(path));
  } catch {
    // Another user's directory: the command works all the same.
    return [];
  }
}
