/**
 * Whose certificates this agent trusts, and which one it shows. The files are read again for each connection, so that a
 * renewed one counts without a restart; a context is made anew only when they changed.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import { AiravataError } from "../../shared/error/error.ts";

/** Paths; PEM. */
export interface TlsFiles {
  /** Authorities that are trusted beside those that Node knows; without it the system's are. */
  caFile?: string | undefined;
  /** What is shown to a coordinator that asks for a certificate, and its key; both or none. */
  clientCert?: string | undefined;
  clientKey?: string | undefined;
}

let latest: { content: string; context: SecureContext } | undefined;

/** For a connection that is made now. Throws `setting_invalid` when a file cannot be used. */
export function secureContext(files: TlsFiles): SecureContext {
  const { caFile, clientCert, clientKey } = files;
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    const [have, lack] = clientCert === undefined ? ["KEY", "CERT"] : ["CERT", "KEY"];
    throw new AiravataError("setting_invalid", `AIRAVATA_CLIENT_${have} is set without AIRAVATA_CLIENT_${lack}`);
  }
  const ca = textOf(caFile, "AIRAVATA_CA_FILE");
  const cert = textOf(clientCert, "AIRAVATA_CLIENT_CERT");
  const key = textOf(clientKey, "AIRAVATA_CLIENT_KEY");
  const content = JSON.stringify([ca, cert, key]);
  if (latest?.content === content) return latest.context;
  if (caFile !== undefined) checkAuthorities(caFile, ca as string);
  if (clientCert !== undefined) checkPair(clientCert, cert as string, clientKey as string, key as string);
  // The system's own store takes 70 ms and 4 MB to read: only where nobody says which authority it is.
  const more = ca === undefined ? getCACertificates("system") : [ca];
  const context = createSecureContext({
    ca: [...new Set([...getCACertificates("bundled"), ...getCACertificates("extra"), ...more])],
    cert,
    key,
    minVersion: "TLSv1.2",
  });
  latest = { content, context };
  return context;
}

/** Node takes this variable for the wish to be deceived; it is not taken from here. Throws `setting_invalid`. */
export function refuseUnverified(env: Record<string, string | undefined>): void {
  const name = "NODE_TLS_REJECT_UNAUTHORIZED";
  if (env[name] === undefined || env[name] === "" || env[name] === "1") return;
  throw new AiravataError(
    "setting_invalid",
    `${name} switches off the verification of certificates, with which anybody on the way is believed: unset it, and name the authority of the coordinator's certificate by AIRAVATA_CA_FILE`,
  );
}

function textOf(path: string | undefined, variable: string): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new AiravataError("setting_invalid", `${variable} names ${path}, which cannot be read`, { cause });
  }
}

function checkAuthorities(path: string, text: string): void {
  if (text.includes("-----BEGIN CERTIFICATE-----")) return;
  throw new AiravataError("setting_invalid", `AIRAVATA_CA_FILE names ${path}, which holds no certificate in PEM`);
}

function checkPair(certPath: string, cert: string, keyPath: string, key: string): void {
  let isOwn: boolean;
  try {
    isOwn = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const text = `${certPath} and ${keyPath} must hold a certificate and its private key in PEM, without a passphrase`;
    throw new AiravataError("setting_invalid", text, { cause });
  }
  if (isOwn) return;
  throw new AiravataError("setting_invalid", `the key in ${keyPath} does not belong to the certificate in ${certPath}`);
}
