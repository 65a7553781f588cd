/** The program at sites and on desks: client and agent. Ends with the exit code of the command that it was given. */
import { runCommandLine } from "./cli/program.ts";

// A reader that went away (`airavata task logs … | head`) is a normal end, not a fault.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

void runCommandLine(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
