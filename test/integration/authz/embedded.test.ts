/** The thread of the embedded engine: it dies and is replaced, ends with its process, and leaves nothing behind. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { type ClientHttp2Stream, connect } from "node:http2";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Worker } from "node:worker_threads";
import { sweepSockets } from "../../../coordinator/authz/embedded/sweep.ts";
import { held, object, openEngine, question, SCHEMA, touch } from "../../support/authorization.ts";
import { until } from "../../support/fault-process.ts";
import { listeningPorts } from "../../support/servers/ports.ts";

const VIEW = [question("project:1#view@user:1")];

/** Sockets of engines of this process. */
const sockets = (): string[] => socketsOf(process.pid);
const socketsOf = (pid: number): string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith(`spicedb-streaming-${pid}-`));

const listening = (): number[] => listeningPorts(process.pid);

/** The thread that the next engine starts. */
function nextThread(): Promise<Worker> {
  return new Promise((resolve) => process.once("worker", (worker) => resolve(worker)));
}

test("a thread that dies is told, and an empty one takes its place", async (t) => {
  const starting = nextThread();
  let forgotten = 0;
  const engine = openEngine({ onForgotten: () => void forgotten++ });
  t.after(() => engine.close());
  const thread = await starting;
  await engine.prepare(SCHEMA);
  const revision = await engine.apply(touch("project:1#viewer@user:1"));
  assert.deepEqual(await engine.check(VIEW, revision), [true]);
  await held(engine, "");

  await thread.terminate();
  assert.equal(forgotten, 1, "its owner is told before anybody can ask the next one");
  await assert.rejects(engine.check(VIEW, revision), { code: "authorization_unavailable" });
  await until("the next one is prepared", () =>
    engine.prepare(SCHEMA).then(
      () => true,
      () => false,
    ),
  );
  assert.deepEqual(await held(engine, ""), []);
  // It would say no to all who were allowed by what the former one held.
  await assert.rejects(engine.check(VIEW, revision), { code: "authorization_unavailable", message: /loaded again/ });
  await assert.rejects(engine.lookup("project", "view", object("user:1"), revision), { message: /loaded again/ });
  const again = await engine.apply(touch("project:1#viewer@user:1"));
  assert.deepEqual(await engine.check(VIEW, again), [true]);
  assert.equal(forgotten, 1);
});

test("an engine that does not start says so, and is tried again after a while", async (t) => {
  const starting = nextThread();
  let forgotten = 0;
  const engine = openEngine({ onForgotten: () => void forgotten++ });
  t.after(() => engine.close());
  const beganMono = performance.now();
  await (await starting).terminate();
  const refusal = { code: "authorization_misconfigured", message: /does not start on this machine .*SPICEDB_ENDPOINT/ };
  await assert.rejects(engine.prepare(SCHEMA), refusal);
  if (performance.now() < beganMono + 500) await assert.rejects(engine.prepare(SCHEMA), refusal);
  await until("it is tried again", () =>
    engine.prepare(SCHEMA).then(
      () => true,
      () => false,
    ),
  );
  assert.equal(forgotten, 0, "it held nothing yet");
});

test("the engine is asked by its own process only", async (t) => {
  const before = new Set(listening());
  const engine = openEngine();
  t.after(() => engine.close());
  await engine.prepare(SCHEMA);
  for (const name of sockets()) assert.equal(statSync(join(tmpdir(), name)).mode & 0o777, 0o600);
  const [port, ...more] = listening().filter((one) => !before.has(one));
  assert.deepEqual(more, []);
  for (const method of ["SchemaService/ReadSchema", "PermissionsService/ReadRelationships"]) {
    for (const key of ["Bearer wrong", "", undefined]) {
      assert.equal(await statusOf(port as number, method, key), "7", method);
    }
  }
});

test("what is closed leaves no thread, port or socket behind", async () => {
  const before = listening();
  const engine = openEngine();
  await engine.prepare(SCHEMA);
  await held(engine, "");
  await engine.close();
  await engine.close();
  assert.deepEqual(sockets(), []);
  assert.deepEqual(listening(), before);
  await assert.rejects(engine.check(VIEW, ""), { code: "authorization_unavailable", message: /closed/ });
});

test("a process that forgets to close it ends all the same, and leaves no socket", () => {
  const file = new URL("../../support/authorization.ts", import.meta.url);
  const program = `
    const { openEngine, SCHEMA } = await import(${JSON.stringify(file.href)});
    const engine = openEngine();
    await engine.prepare(SCHEMA);
    for await (const page of engine.read());
    console.log(process.pid);
  `;
  const { stdout, status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(status, 0, stderr);
  assert.deepEqual(socketsOf(Number(stdout)), []);
});

/** The gRPC status of an empty call. */
async function statusOf(port: number, method: string, key: string | undefined): Promise<string> {
  const session = connect(`http://127.0.0.1:${port}`);
  try {
    return await new Promise((resolve, reject) => {
      const headers = { ":method": "POST", ":path": `/authzed.api.v1.${method}`, "content-type": "application/grpc" };
      const call: ClientHttp2Stream = session.request({ ...headers, ...(key !== undefined && { authorization: key }) });
      call.on("response", (answer) => answer["grpc-status"] !== undefined && resolve(String(answer["grpc-status"])));
      call.on("trailers", (answer) => resolve(String(answer["grpc-status"])));
      call.on("error", reject);
      call.resume();
      call.end(Buffer.alloc(5));
    });
  } finally {
    session.close();
  }
}

test("sockets that killed processes left behind are removed, those in use and those of others are not", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "airavata-sweep-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = (name: string): string => join(directory, name);
  const own = path("spicedb-streaming-1-1.sock");
  const [dead, young, live] = [2, 3, 4].map((pid) => path(`spicedb-streaming-${pid}-1.sock`)) as [
    string,
    string,
    string,
  ];
  const other = path("other.sock");
  const file = path("spicedb-streaming-5-1.sock");
  // A child that ends by a signal leaves its sockets.
  const listen = [dead, young, other].map(
    (name) => `require("net").createServer().listen(${JSON.stringify(name)}).on("listening", done);`,
  );
  const program = `let left = 3; const done = () => --left || process.kill(process.pid, "SIGKILL"); ${listen.join("")}`;
  assert.equal(spawnSync(process.execPath, ["-e", program]).signal, "SIGKILL");
  const server = createServer().listen(live);
  t.after(() => server.close());
  await once(server, "listening");
  writeFileSync(file, "");
  const longAgo = new Date(Date.now() - 3_600_000);
  for (const name of [dead, live, other, file]) utimesSync(name, longAgo, longAgo);
  await sweepSockets(own);
  assert.deepEqual(readdirSync(directory).map(path).sort(), [young, live, file, other].sort());
});
