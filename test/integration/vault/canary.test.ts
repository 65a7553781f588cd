/**
 * Secrets of every type are planted through the API and the command line, used in every way there is, also while the vault
 * is away, and then looked for in everything that was written anywhere: logs at their most talkative, answers, errors,
 * events, every table, PostgreSQL's own files, arguments and environments of processes, the disks of agent and coordinator.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { EVENTS_SUBPROTOCOL } from "../../../shared/api/event.ts";
import { until } from "../../support/agent-peer.ts";
import { Canaries } from "../../support/canary.ts";
import { RunningCli } from "../../support/cli.ts";
import { addPeople, inDatabase, temporaryDirectory } from "../../support/credential.ts";
import { startOpenBao, type TestOpenBao } from "../../support/openbao.ts";
import { freshDatabase, testCluster } from "../../support/postgres.ts";
import { needs } from "../../support/services.ts";
import { CERTIFICATE_KEY, CERTIFICATE_PEM } from "../../unit/credential/keys.ts";

/** A command lives for half a second: each is seen some twenty times. */
const LOOK_AGAIN_MS = 20;
const TOKEN = "aop_for-tests-only-0123456789";

interface Planted {
  type: "SSH_KEY" | "PASSWORD" | "API_KEY" | "TOKEN" | "CERTIFICATE";
  secret: Buffer;
}

/** One of each type, and one of bytes that are no text. */
function plant(canaries: Canaries): Planted[] {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  // The 32 bytes that are the key: the end of its DER.
  canaries.add("SSH_KEY", privateKey.export({ type: "pkcs8", format: "der" }).subarray(-32));
  canaries.add("CERTIFICATE", Buffer.from(CERTIFICATE_KEY.split("\n")[1] ?? ""));
  const bytes = randomBytes(48);
  canaries.add("bytes", bytes);
  const payload = Buffer.from(JSON.stringify({ exp: 4_000_000_000 })).toString("base64url");
  const signature = randomBytes(32);
  canaries.add("TOKEN", signature);
  return [
    { type: "SSH_KEY", secret: Buffer.from(pem) },
    { type: "CERTIFICATE", secret: Buffer.from(CERTIFICATE_PEM + CERTIFICATE_KEY) },
    { type: "PASSWORD", secret: Buffer.from(canaries.text("PASSWORD")) },
    { type: "API_KEY", secret: bytes },
    { type: "TOKEN", secret: Buffer.from(`eyJhbGciOiJFUzI1NiJ9.${payload}.${signature.toString("base64url")}`) },
  ];
}

interface Scene {
  canaries: Canaries;
  planted: Planted[];
  url: string;
  coordinator: RunningCli;
  databaseUrl: string;
  directory: string;
  /** All that was said by commands, answers and events. */
  heard: string[];
  found: Set<string>;
  away?: TestOpenBao;
}

for (const kind of ["a sealed directory", "OpenBao"] as const) {
  const skip = kind === "OpenBao" && needs("openbao");
  test(`no secret is written down anywhere, with ${kind}`, { skip }, async (t) => {
    const scene = await begin(t, kind);
    const ids = await throughApi(scene);
    await throughCommands(scene);
    await wrongly(scene);
    if (scene.away) await whileAway(scene, scene.away, ids);
    await andDelete(scene, ids);
    await search(scene);
  });
}

async function begin(t: TestContext, kind: string): Promise<Scene> {
  const canaries = new Canaries();
  const planted = plant(canaries);
  const { url: databaseUrl, defer } = await freshDatabase(t);
  const directory = temporaryDirectory(t);
  const bao = kind === "OpenBao" ? await startOpenBao((end) => t.after(end)) : undefined;
  const env: NodeJS.ProcessEnv = {
    DATABASE_URL: databaseUrl,
    AIRAVATA_OPERATOR_TOKEN: TOKEN,
    JWT_SECRET_KEY: randomBytes(48).toString("base64"),
    AIRAVATA_DATA_DIR: join(directory, "coordinator"),
    LOG_LEVEL: "debug",
    // What libraries print when they are asked to.
    DEBUG: "*",
    NODE_DEBUG: "http,https,net,tls",
    ...(bao && { OPENBAO_ADDR: bao.url, OPENBAO_ROLE_ID: bao.roleId, OPENBAO_SECRET_ID: bao.secretId }),
  };
  const words = ["server", "--port", "0"];
  const coordinator = new RunningCli(words, { env, cwd: directory });
  // Before the database goes.
  defer(async () => {
    coordinator.child.kill("SIGTERM");
    await coordinator.end();
  });
  await coordinator.said(/^http:\/\/\S+$/m);
  const url = /^http:\/\/\S+$/m.exec(coordinator.stdout)?.[0] as string;
  const scene: Scene = {
    canaries,
    planted,
    url,
    coordinator,
    databaseUrl,
    directory,
    heard: [],
    found: new Set(),
    ...(bao && { away: bao }),
  };
  await until(async () => (await fetch(`${url}/api/v1/health/ready`)).ok, "the coordinator to lead", 30_000);
  listen(t, scene);
  await startAgent(t, scene);
  return scene;
}

function listen(t: TestContext, { url, heard }: Scene): void {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const socket = new WebSocket(`${url.replace("http", "ws")}/api/v1/events`, EVENTS_SUBPROTOCOL, { headers });
  socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe" })));
  socket.on("message", (data) => heard.push(String(data)));
  socket.on("error", () => {});
  t.after(() => socket.terminate());
}

async function startAgent(t: TestContext, scene: Scene): Promise<void> {
  const { token } = JSON.parse(await ask(scene, "POST", "enrolment-tokens", {})) as { token: string };
  const outputs = join(scene.directory, "agent");
  const env = { API_URL: scene.url, AIRAVATA_ENROLMENT_TOKEN: token, LOG_LEVEL: "debug", WORKER_ID: "canary" };
  const agent = new RunningCli(["agent", "--output-dir", outputs], { env });
  t.after(async () => {
    agent.child.kill("SIGTERM");
    await agent.end();
    scene.heard.push(agent.stdout, agent.stderr);
  });
  const spec = "tasks:\n  a:\n    command: env; cat /proc/self/cmdline\n    task_inputs: { n: 1..3 }\n";
  await ask(scene, "POST", "experiments", { spec });
  await until(async () => /"COMPLETED"/.test(await ask(scene, "GET", "experiments/1")), "a few tasks", 60_000);
}

/** The answer, status line and headers included in what was heard. */
async function ask(scene: Scene, method: string, path: string, body?: unknown): Promise<string> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(`${scene.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(text !== undefined && { "content-type": "application/json" }) },
    ...(text !== undefined && { body: text }),
  });
  const answer = await response.text();
  scene.heard.push(`${method} ${path} ${response.status} ${JSON.stringify([...response.headers])} ${answer}`);
  return answer;
}

/** A command; meanwhile every process of the machine is looked at. Its exit code. */
async function command(scene: Scene, words: string[], input: Buffer): Promise<number | null> {
  const env = { AIRAVATA_SERVER: scene.url, AIRAVATA_TOKEN: TOKEN, NODE_DEBUG: "http,net" };
  const running = new RunningCli(words, { env, input });
  let over = false;
  const ended = running.end().finally(() => {
    over = true;
  });
  while (!over) {
    for (const found of scene.canaries.inProcesses()) scene.found.add(found);
    await delay(LOOK_AGAIN_MS);
  }
  const { code, stdout, stderr } = await ended;
  scene.heard.push(`${words.join(" ")} ${code}`, stdout, stderr);
  return code;
}

async function throughApi(scene: Scene): Promise<number[]> {
  const ids: number[] = [];
  await addPeople(scene.databaseUrl, "carol", "chemists");
  await ask(scene, "POST", "compute-resources", { name: "hpc", kind: "slurm", configuration: { host: "h" } });
  for (const { type, secret } of scene.planted) {
    const body = { name: `api-${type}`, type, secret: secret.toString("base64"), description: "planted" };
    const { id } = JSON.parse(await ask(scene, "POST", "credentials", body)) as { id: number };
    assert.ok(id, scene.heard.at(-1));
    ids.push(id);
    await ask(scene, "POST", `credentials/${id}/rotate`, { secret: secret.toString("base64") });
    await ask(scene, "POST", `credentials/${id}/bindings`, { compute_resource: "hpc" });
    await ask(scene, "POST", `credentials/${id}/share`, { group: "chemists" });
    for (const path of ["", "/test", "/shares", "/usage", "/bindings"]) {
      await ask(scene, path === "/test" ? "POST" : "GET", `credentials/${id}${path}`);
    }
  }
  await ask(scene, "GET", "credentials");
  await ask(scene, "GET", "audit?limit=500");
  await ask(scene, "GET", "vault");
  assert.ok(scene.heard.some((line) => line.includes('"ok":true')));
  return ids;
}

async function throughCommands(scene: Scene): Promise<void> {
  const each = async ({ type, secret }: Planted): Promise<void> => {
    const name = `cli-${type}`;
    const create = ["credential", "create", name, "--type", type, "--exact"];
    assert.equal(await command(scene, create, secret), 0, scene.heard.at(-1));
    const file = join(scene.directory, `typed ${type}`);
    writeFileSync(file, secret, { mode: 0o600 });
    const rotate = ["credential", "rotate", name, "--from-file", file, "--exact", "--json"];
    assert.equal(await command(scene, rotate, Buffer.alloc(0)), 0, scene.heard.at(-1));
    writeFileSync(file, "");
  };
  // The way in does not depend on the vault: each type goes it once, two of them twice.
  const isText = ({ type }: Planted): boolean => type === "PASSWORD" || type === "SSH_KEY";
  await Promise.all(scene.planted.filter((planted) => scene.away || isText(planted)).map(each));
  await command(scene, ["credential", "test", "cli-PASSWORD"], Buffer.alloc(0));
  // A passphrase where a key is asked for, both ways.
  const password = scene.planted.find(({ type }) => type === "PASSWORD")!.secret;
  assert.equal(await command(scene, ["credential", "create", "x", "--type", "ssh_key"], password), 3);
  assert.equal(await command(scene, ["credential", "create", "cli-PASSWORD", "--type", "token"], password), 3);
}

/** What clients do wrong: each is refused, and none is repeated. */
async function wrongly(scene: Scene): Promise<void> {
  const text = scene.planted.find(({ type }) => type === "PASSWORD")!.secret.toString();
  const body = { name: "wrong", type: "PASSWORD", secret: Buffer.from(text).toString("base64") };
  const bodies: unknown[] = [
    `{"name":"wrong","type":"PASSWORD","secret":"${text}`,
    `{"name":"wrong","type":"PASSWORD","secret":${text}}`,
    `${JSON.stringify(body)}${text}`,
    { ...body, secret: text },
    { ...body, secret: { inner: text } },
    { ...body, secret: [text] },
    { ...body, type: text },
    { ...body, type: "SSH_KEY" },
    { ...body, type: "CERTIFICATE" },
    { ...body, version: text },
  ];
  for (const wrong of bodies) {
    const answer = JSON.parse(await ask(scene, "POST", "credentials", wrong)) as { status: number };
    assert.ok([400, 422].includes(answer.status), scene.heard.at(-1));
  }
}

async function whileAway(scene: Scene, bao: TestOpenBao, ids: number[]): Promise<void> {
  const { type, secret } = scene.planted[2]!;
  const attempt = async (sentence: RegExp): Promise<void> => {
    const encoded = secret.toString("base64");
    for (const [path, body] of [
      ["credentials", { name: "away", type, secret: encoded }],
      [`credentials/${ids[2]}/rotate`, { secret: encoded }],
      [`credentials/${ids[2]}/test`, undefined],
    ] as const) {
      assert.match(await ask(scene, "POST", path, body), sentence);
    }
  };
  await bao.seal();
  await attempt(/is sealed: run bao operator unseal/);
  await bao.unseal();
  await bao.kill();
  await attempt(/nothing listens at/);
  assert.equal(await command(scene, ["credential", "create", "away", "--type", type], secret), 4);
  await bao.start();
  await attempt(/was restarted and is sealed since/);
  await bao.unseal();
  bao.freeze();
  await attempt(/it is frozen or overloaded/);
  bao.thaw();
  await ask(scene, "POST", `credentials/${ids[2]}/test`);
  assert.match(scene.heard.at(-1) ?? "", /"ok":true/);
  scene.heard.push(bao.log());
}

async function andDelete(scene: Scene, ids: number[]): Promise<void> {
  const [first] = ids;
  await ask(scene, "DELETE", `credentials/${first}`);
  await ask(scene, "DELETE", `credentials/${first}/bindings?compute_resource=hpc`);
  await ask(scene, "DELETE", `credentials/${first}`);
  assert.match(scene.heard.at(-1) ?? "", /"deleted_at":"2/);
}

async function search({ canaries, found, heard, coordinator, directory, databaseUrl, away }: Scene): Promise<void> {
  const limits = readFileSync(`/proc/${coordinator.child.pid}/limits`, "utf8");
  assert.match(limits, /^Max core file size +0 /m);
  const all = [...found, ...canaries.inProcesses()];
  await inDatabase(databaseUrl, async (rows) => {
    // Everything, also what is still in the write-ahead log alone.
    await rows("checkpoint");
    const tables = await rows<{ name: string }>(
      "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname = 'public'",
    );
    assert.ok(tables.length > 20);
    for (const { name } of tables) {
      const lines = await rows<{ line: string }>(`select t::text as line from ${name} t`);
      // Columns of bytes are shown in hex, and so is what is looked for.
      all.push(...canaries.in(name, lines.map(({ line }) => line).join("\n")));
    }
  });
  all.push(...canaries.below((await testCluster()).data));
  all.push(...canaries.below(directory));
  if (away) all.push(...canaries.below(away.directory));
  coordinator.child.kill("SIGABRT");
  await coordinator.end();
  assert.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith("core")),
    [],
  );
  const logs = coordinator.stdout + coordinator.stderr;
  assert.ok(logs.includes("debug"), "the log is at its most talkative");
  all.push(...canaries.in("the coordinator's log", logs));
  for (const text of heard) all.push(...canaries.in(text.slice(0, 80), text));
  assert.deepEqual([...new Set(all)], []);
  // The search sees what it looks for.
  assert.ok(existsSync(directory));
  const seen = join(directory, "seen");
  canaries.add("seen", Buffer.from("a canary of the search itself"));
  writeFileSync(seen, `x${Buffer.from("a canary of the search itself").toString("base64")}`);
  assert.ok(canaries.below(directory).length > 0);
}
