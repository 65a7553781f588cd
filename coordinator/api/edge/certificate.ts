/**
 * The certificate that this coordinator shows, with its key, from two files. They may change under it: their content is
 * looked at again and again and on demand. What is broken or does not belong together is told and the former pair stays.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { AiravataError, errorLine } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";

export interface CertificateFiles {
  /** PEM, the own certificate first, then those between it and the root. */
  certificate: string;
  key: string;
  /** PEM: who signs the certificates of agents; undefined: they need none. */
  agentCa?: string | undefined;
}

export interface Pair {
  cert: string;
  key: string;
  agentCa: string | undefined;
}

export interface CertificateKeeper {
  readonly pair: Pair;
  /** DER of the certificates that this process shows or showed lately. */
  readonly own: readonly Buffer[];
  /** When the certificate is over; wall ms. */
  readonly expiresAtMs: number;
  onChange(listener: (pair: Pair) => void): void;
  /** Reads the files now. Resolves with whether another pair is used from now on; never rejects. */
  reload(): Promise<boolean>;
  close(): void;
}

/** A renewed certificate is shown this much later at most; it is a few kilobytes to read. */
const LOOK_MS = 10_000;
/** Two coordinators see a renewal at different times: one may still show what the other just gave up. */
const FORMER_MAX = 2;
/** Half of what is left when certificates of 90 days are usually renewed. */
const WARN_MS = 14 * 86_400_000;
const WARN_PERIOD_MS = 86_400_000;

/** Throws `setting_invalid` with a sentence when the files cannot be used. */
export async function keepCertificate(
  files: CertificateFiles,
  { log, lookMs = LOOK_MS }: { log: Logger; lookMs?: number },
): Promise<CertificateKeeper> {
  let pair = await readPair(files);
  let certificate = checkPair(pair, files);
  let own = [certificate.raw];
  /** What was told about already, so that it is told once. */
  let refused: string | undefined;
  let warnedMono = Number.NEGATIVE_INFINITY;
  const listeners: ((pair: Pair) => void)[] = [];
  const warn = (): void => {
    const left = certificate.validToDate.getTime() - Date.now();
    if (left > WARN_MS || performance.now() - warnedMono < WARN_PERIOD_MS) return;
    warnedMono = performance.now();
    const text = left > 0 ? "expires soon" : "has expired, so that clients refuse it";
    log.warn(`the certificate in ${files.certificate} ${text}`, { until: certificate.validToDate });
  };
  warn();
  const look = async (): Promise<boolean> => {
    let next: Pair | undefined;
    try {
      next = await readPair(files);
      if (sameText(next, pair)) {
        refused = undefined;
        return false;
      }
      const found = checkPair(next, files);
      if (found.validToDate.getTime() < Date.now()) {
        throw new AiravataError("setting_invalid", `${files.certificate} expired on ${found.validTo}`);
      }
      // Last, so that a listener that refuses keeps everything as it was.
      for (const listener of listeners) listener(next);
      certificate = found;
    } catch (error) {
      const seen = next === undefined ? errorLine(error) : JSON.stringify(next);
      if (seen !== refused) log.error("the new certificate is not used; the former one stays", { error });
      refused = seen;
      return false;
    }
    pair = next;
    refused = undefined;
    own = [certificate.raw, ...own].slice(0, 1 + FORMER_MAX);
    warnedMono = Number.NEGATIVE_INFINITY;
    log.info("a new certificate is used from now on", {
      subject: certificate.subject,
      serial: certificate.serialNumber,
      until: certificate.validToDate,
    });
    warn();
    return true;
  };
  // One after the other: a slow file system must not let an older content win.
  let last: Promise<unknown> = Promise.resolve();
  const reload = (): Promise<boolean> => {
    const mine = last.then(look);
    last = mine;
    return mine;
  };
  const timer = setInterval(() => void reload().then(warn), lookMs);
  timer.unref();
  return {
    get pair() {
      return pair;
    },
    get own() {
      return own;
    },
    get expiresAtMs() {
      return certificate.validToDate.getTime();
    },
    onChange: (listener) => void listeners.push(listener),
    reload,
    close: () => clearInterval(timer),
  };
}

async function readPair(files: CertificateFiles): Promise<Pair> {
  const [cert, key, agentCa] = await Promise.all([
    readSetting(files.certificate, "--tls-cert (AIRAVATA_TLS_CERT)"),
    readSetting(files.key, "--tls-key (AIRAVATA_TLS_KEY)"),
    files.agentCa === undefined ? undefined : readSetting(files.agentCa, "--agent-ca-file (AIRAVATA_AGENT_CA_FILE)"),
  ]);
  return { cert, key, agentCa };
}

export async function readSetting(path: string, setting: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new AiravataError("setting_invalid", `${setting} names ${path}, which cannot be read`, { cause });
  }
}

/** The certificate, when key and all others fit. */
function checkPair({ cert, key, agentCa }: Pair, files: CertificateFiles): X509Certificate {
  const invalid = (why: string, cause?: unknown): AiravataError => new AiravataError("setting_invalid", why, { cause });
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(cert);
  } catch (cause) {
    throw invalid(`${files.certificate} holds no certificate in PEM`, cause);
  }
  let isOwnKey: boolean;
  try {
    isOwnKey = certificate.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw invalid(
      `${files.key} holds no private key in PEM, or one behind a passphrase, which nobody could type`,
      cause,
    );
  }
  if (!isOwnKey) throw invalid(`the key in ${files.key} does not belong to the certificate in ${files.certificate}`);
  try {
    createSecureContext({ cert, key, ca: agentCa });
  } catch (cause) {
    throw invalid(`${files.certificate} and what goes with it cannot be used`, cause);
  }
  if (agentCa !== undefined && !agentCa.includes("-----BEGIN CERTIFICATE-----")) {
    throw invalid(`${files.agentCa} holds no certificate in PEM`);
  }
  return certificate;
}

function sameText(a: Pair, b: Pair): boolean {
  return a.cert === b.cert && a.key === b.key && a.agentCa === b.agentCa;
}
