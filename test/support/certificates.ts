/**
 * Real certificates for one test, made by openssl in a directory of its own: an authority, and what it signs for servers
 * and agents. They hold two days and vanish with the test.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";

export interface CertificateFiles {
  cert: string;
  key: string;
}

export class Authority {
  readonly directory: string;
  readonly file: string;
  readonly #key: string;
  #made = 0;

  constructor(t: Pick<TestContext, "after">, name = "Test Authority") {
    this.directory = mkdtempSync(join(tmpdir(), "airavata-ca-"));
    t.after(() => rmSync(this.directory, { recursive: true, force: true }));
    this.file = join(this.directory, "ca.crt");
    this.#key = join(this.directory, "ca.key");
    request(this.file, this.#key, `/CN=${name}`, ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]);
  }

  get pem(): string {
    return readFileSync(this.file, "utf8");
  }

  /** For a server that is reached by these names (`DNS:…`, `IP:…`). */
  server(names = "DNS:localhost,IP:127.0.0.1"): CertificateFiles {
    return this.#sign("/CN=coordinator", [`subjectAltName=${names}`, "extendedKeyUsage=serverAuth"]);
  }

  /** One that was over yesterday. */
  expired(): CertificateFiles {
    const { cert, key } = this.server();
    const asked = `${cert}.csr`;
    openssl("req", "-new", "-key", key, "-subj", "/CN=coordinator", "-out", asked);
    openssl("x509", "-req", "-in", asked, "-CA", this.file, "-CAkey", this.#key, "-days", "-1", "-out", cert);
    return { cert, key };
  }

  agent(name = "agent-1"): CertificateFiles {
    return this.#sign(`/CN=${name}`, ["extendedKeyUsage=clientAuth"]);
  }

  #sign(subject: string, extensions: string[]): CertificateFiles {
    const base = join(this.directory, String(++this.#made));
    const [cert, key] = [`${base}.crt`, `${base}.key`];
    const signing = ["-CA", this.file, "-CAkey", this.#key];
    request(cert, key, subject, ["basicConstraints=CA:FALSE", ...extensions], signing);
    return { cert, key };
  }
}

/** This process's own requests trust the authority too, until its end. */
export function trustInThisProcess(...authorities: Authority[]): void {
  setDefaultCACertificates([...getCACertificates("bundled"), ...authorities.map(({ pem }) => pem)]);
}

function request(cert: string, key: string, subject: string, extensions: string[], more: string[] = []): void {
  const fixed = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const files = ["-out", cert, "-keyout", key, "-subj", subject];
  const added = extensions.flatMap((extension) => ["-addext", extension]);
  openssl(...fixed, ...files, ...added, ...more);
}

function openssl(...words: string[]): void {
  execFileSync("openssl", words, { stdio: ["ignore", "ignore", "pipe"] });
}
