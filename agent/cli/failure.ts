/**
 * How a command that did not work ends: one sentence, the place in the docs, and an exit code. Nothing that was thrown
 * reaches a person as a stack trace, and nothing in it can drive the terminal.
 */
import { CommanderError } from "commander";
import { AiravataError, causeChain } from "../../shared/error/error.ts";
import { Exit, exitForStatus } from "../../shared/error/exit.ts";
import { printable, type Screen } from "./terminal.ts";

interface Failure {
  code: string;
  /** The sentence, then the causes. */
  message: string;
  exit: Exit;
  data: Record<string, unknown>;
}

/** Exit code of whatever a command threw; prints it to `screen` unless commander has already said all. */
export function reportFailure(thrown: unknown, screen: Screen, json: boolean): Exit {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return Exit.DONE;
  if (thrown instanceof CommanderError && thrown.code === "commander.help") return Exit.USAGE;
  const failure = describe(thrown);
  if (json) {
    const { code, message, exit, data } = failure;
    screen.write(`${JSON.stringify({ error: { code, message, exit, data } })}\n`);
  } else {
    screen.write(`${screen.paint("red", "error:")} ${printable(failure.message)}\n`);
    screen.write(`${screen.paint("dim", `       docs/errors.md#${failure.code}`)}\n`);
  }
  return failure.exit;
}

/** A command that does not exist yet is wrong usage; over HTTP the same code is a route that is not found. */
function exitFor(code: string, status: number): Exit {
  return code === "not_supported_yet" ? Exit.USAGE : exitForStatus(status);
}

function describe(thrown: unknown): Failure {
  if (thrown instanceof CommanderError) {
    const message = thrown.message.replace(/^error: /, "").trim();
    return { code: "usage_invalid", message: usageSentence(message), exit: Exit.USAGE, data: {} };
  }
  const [first, ...rest] = causeChain(thrown);
  const causes = rest.map((link) => link.message || link.code).filter(Boolean);
  const message = [first?.message || first?.name || "Unknown error.", ...causes.map((cause) => `(${cause})`)].join(" ");
  if (thrown instanceof AiravataError) {
    return { code: thrown.code, message, exit: exitFor(thrown.code, thrown.status), data: thrown.data };
  }
  const { code, status } = thrown as { code?: unknown; status?: unknown };
  if (typeof code === "string" && typeof status === "number") {
    return { code, message, exit: exitFor(code, status), data: {} };
  }
  return { code: "internal", message: `This is a fault of airavata itself: ${message}`, exit: Exit.FAILED, data: {} };
}

/** Commander's message as a sentence that also says what to do. */
function usageSentence(message: string): string {
  if (/unknown option '--token/.test(message)) {
    return "A token is a secret and process lists show arguments: set AIRAVATA_TOKEN, or use --token-file.";
  }
  if (/unknown option '--(secret|password|passphrase|value|private-key|api-key)/.test(message)) {
    return "A secret is never an argument, because process lists show it: use --from-file, a pipe or the prompt.";
  }
  const text = message.replace(/\s*\(Did you mean (.*)\?\)/s, "; did you mean $1?");
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return `${sentence.replace(/([^.?!])$/, "$1.")} See --help.`;
}
