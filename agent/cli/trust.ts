/**
 * Whose certificates this run of the command line trusts, for its requests and its WebSockets alike: what Node knows and
 * the operator's file, or without one what the system trusts.
 */
import { readFileSync } from "node:fs";
import * as tls from "node:tls";
import { AiravataError } from "../../shared/error/error.ts";
import { refuseUnverified } from "../session/trust.ts";

/** For a server with an https address; does nothing for others. Throws `setting_invalid`. */
export function trustFor(server: string, caFile: string | undefined, environment: NodeJS.ProcessEnv): void {
  if (!server.startsWith("https:")) return;
  refuseUnverified(environment);
  // Came with Node 24.5; a machine's own Node may be older.
  if (tls.setDefaultCACertificates === undefined) {
    if (caFile === undefined) return;
    const text = `Node ${process.version} takes no file of authorities: use 24.5 or newer, or set NODE_EXTRA_CA_CERTS.`;
    throw new AiravataError("setting_unsupported", text);
  }
  const more = caFile === undefined ? tls.getCACertificates("system") : [authoritiesIn(caFile)];
  const known = [...tls.getCACertificates("bundled"), ...tls.getCACertificates("extra")];
  tls.setDefaultCACertificates([...new Set([...known, ...more])]);
}

function authoritiesIn(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new AiravataError("setting_invalid", `The file of authorities ${path} cannot be read.`, { cause });
  }
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw new AiravataError("setting_invalid", `The file of authorities ${path} holds no certificate in PEM.`);
}
