/**
 * Chooses the half of the system that a command belongs to, so that neither half needs to know the other: the
 * coordinator for `up`, `server`, `daemon` and `both` (also after `help`), agent and client for everything else.
 */
import { flushCompileCache } from "node:module";

const COORDINATOR_COMMANDS = new Set(["up", "server", "daemon", "both"]);

const words = process.argv.slice(2);
const [first = "", second = ""] = words;

if (first === "help" && COORDINATOR_COMMANDS.has(second)) {
  process.argv.splice(2, words.length, second, "--help");
  await import("../coordinator/main.ts");
} else if (COORDINATOR_COMMANDS.has(first)) {
  await import("../coordinator/main.ts");
} else {
  await import("../agent/main.ts");
}

// Now and not at the end, which may be a SIGKILL.
flushCompileCache();
