/**
 * What may stand in the configuration of a compute or storage resource: how it is reached, in plain values. Secrets are
 * refused where their name gives them away; what a kind cannot do without is asked for, the rest is taken as it is.
 */
import { AiravataError } from "../../../shared/error/error.ts";
import type { Configuration } from "../../store/resources.ts";

/** What each kind must have: text, or a list of texts. */
const NEEDED: Record<string, { key: string; is: "text" | "list" | "path" } | undefined> = {
  slurm: { key: "host", is: "text" },
  kubernetes: { key: "namespace", is: "text" },
  baremetal: { key: "hosts", is: "list" },
  s3: { key: "bucket", is: "text" },
  sftp: { key: "host", is: "text" },
  nfs: { key: "path", is: "path" },
  local: { key: "path", is: "path" },
};
const SECRET = /passw|secret|passphrase|private|token|credential|api_?key|access_?key/i;
/** A page of a list of 500 is then 2 MB. */
const CONFIGURATION_BYTES_MAX = 4_096;

/** Throws `request_invalid`. */
export function checkConfiguration(kind: string, configuration: Configuration): void {
  if (Buffer.byteLength(JSON.stringify(configuration)) > CONFIGURATION_BYTES_MAX) {
    throw refused("configuration", `at most ${CONFIGURATION_BYTES_MAX} bytes of JSON`);
  }
  for (const [key, value] of Object.entries(configuration)) {
    if (SECRET.test(key)) throw refused(key, "a secret is kept as a credential and bound to the resource, never here");
    const texts = [value].flat().filter((item) => typeof item === "string");
    // It may end up in a batch script, where a line more is a command more.
    if (texts.some((text) => /\p{Cc}/u.test(text))) throw refused(key, "control characters are not allowed");
  }
  const needed = NEEDED[kind];
  if (!needed || isGiven(configuration[needed.key], needed.is)) return;
  const what = { text: "a text", list: "a list of names", path: "an absolute path" }[needed.is];
  throw refused(needed.key, `a resource of kind ${kind} needs it: ${what}`);
}

function isGiven(value: Configuration[string] | undefined, is: "text" | "list" | "path"): boolean {
  if (is === "list") return Array.isArray(value) && value.length > 0;
  return typeof value === "string" && value !== "" && (is === "text" || value.startsWith("/"));
}

function refused(key: string, message: string): AiravataError {
  const field = key === "configuration" ? key : `configuration.${key.slice(0, 100)}`;
  return new AiravataError("request_invalid", `${field}: ${message}`, { data: { errors: [{ field, message }] } });
}
