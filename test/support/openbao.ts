/**
 * A real OpenBao for tests: initialised, unsealed, with both engines, the project's policy and AppRole. It can be sealed,
 * killed, started again and frozen; its policy, tokens and what lies in it are changed by the root token. Ends with the test.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./agent-peer.ts";
import { ROOT } from "./cli.ts";
import { freeze } from "./servers/freeze.ts";
import { OPENBAO_PROGRAM } from "./servers/programs.ts";

/** What the coordinator's policy is meant to be; `guide`: the one of the deployment guide, word for word. */
export const POLICY_FILES = {
  ours: join(ROOT, "deploy/openbao/policy.hcl"),
  guide: join(ROOT, "deploy/openbao/guide-policy.hcl"),
};

export class TestOpenBao {
  url = "";
  rootToken = "";
  roleId = "";
  secretId = "";
  /** Its configuration, log and storage. */
  readonly directory = mkdtempSync(join(tmpdir(), "airavata-openbao-"));
  #unsealKey = "";
  #child: ReturnType<typeof spawn> | undefined;

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts the program, or starts it again: then it is sealed. Resolves when it answers. */
  async start(): Promise<void> {
    const log = openSync(join(this.directory, "bao.log"), "a");
    const child = spawn(OPENBAO_PROGRAM, ["server", `-config=${join(this.directory, "bao.hcl")}`], {
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    // 501: not initialised, 503: sealed.
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`OpenBao ended: ${this.log().slice(-2_000)}`);
      return [501, 503].includes(await this.#health());
    }, "OpenBao's first answer");
  }

  async unseal(): Promise<void> {
    await this.ask("PUT", "sys/unseal", { key: this.#unsealKey });
    await until(async () => (await this.#health()) === 200, "OpenBao's unsealing");
  }

  async seal(): Promise<void> {
    await this.ask("PUT", "sys/seal");
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    // A frozen one dies of it as well.
    child.kill("SIGKILL");
    await gone;
  }

  freeze(): void {
    freeze(this.pid);
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  /** Asks with the root token, or `token`. Throws with OpenBao's words when it refuses. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it knows to be there
  async ask(method: string, path: string, body?: unknown, token = this.rootToken): Promise<any> {
    const response = await fetch(`${this.url}/v1/${path}`, {
      method,
      headers: { "x-vault-token": token },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? {} : JSON.parse(text);
  }

  /** Sets what the tokens of `token` and AppRole may do. */
  async setPolicy(file: string): Promise<void> {
    await this.ask("PUT", "sys/policies/acl/airavata-scheduler", { policy: readFileSync(file, "utf8") });
  }

  /** A token with the policy and nothing else. `period` is renewable for ever, `ttl` ends. */
  async token(life: { period: string } | { explicit_max_ttl: string; ttl: string }): Promise<string> {
    const { auth } = await this.ask("POST", "auth/token/create-orphan", { policies: ["airavata-scheduler"], ...life });
    return auth.client_token;
  }

  /** Settings of a coordinator that uses it by AppRole. */
  get settings() {
    return { openbaoAddr: this.url, openbaoRoleId: this.roleId, openbaoSecretId: this.secretId };
  }

  log(): string {
    return readFileSync(join(this.directory, "bao.log"), "utf8");
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async prepare(tokenPeriod: string): Promise<void> {
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    writeFileSync(join(this.directory, "bao.hcl"), configuration(this.directory, port, await freePort()));
    await this.start();
    const { keys_base64: keys, root_token: root } = await this.ask("PUT", "sys/init", {
      secret_shares: 1,
      secret_threshold: 1,
    });
    this.#unsealKey = keys[0];
    this.rootToken = root;
    await this.unseal();
    await this.ask("POST", "sys/mounts/credentials", { type: "kv", options: { version: "2" } });
    await this.ask("POST", "sys/mounts/transit", { type: "transit" });
    await this.ask("POST", "transit/keys/credentials", {});
    await this.setPolicy(POLICY_FILES.ours);
    await this.ask("POST", "sys/auth/approle", { type: "approle" });
    await this.ask("POST", "auth/approle/role/coordinator", {
      token_policies: "airavata-scheduler",
      token_period: tokenPeriod,
    });
    this.roleId = (await this.ask("GET", "auth/approle/role/coordinator/role-id")).data.role_id;
    this.secretId = (await this.ask("POST", "auth/approle/role/coordinator/secret-id", {})).data.secret_id;
  }

  async #health(): Promise<number> {
    return fetch(`${this.url}/v1/sys/health`).then(
      async (response) => {
        await response.body?.cancel();
        return response.status;
      },
      () => 0,
    );
  }
}

/** Takes some four seconds. Its end is given to `defer`. `tokenPeriod`: the life of AppRole's tokens between two renewals. */
export async function startOpenBao(
  defer: (end: () => Promise<void>) => void,
  tokenPeriod = "300s",
): Promise<TestOpenBao> {
  const server = new TestOpenBao();
  defer(() => server.end());
  await server.prepare(tokenPeriod);
  return server;
}

/** Without `performance_multiplier` the first election takes eight seconds. */
function configuration(directory: string, port: number, clusterPort: number): string {
  return `
storage "raft" {
  path = "${directory}"
  node_id = "n1"
  performance_multiplier = 1
}
listener "tcp" {
  address = "127.0.0.1:${port}"
  tls_disable = true
}
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "http://127.0.0.1:${clusterPort}"
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
