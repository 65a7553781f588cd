/**
 * Rooms import only in the agreed direction, runtime code uses only runtime dependencies, and the contract does no I/O.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Import, importsOf, isTest, read, SOURCES, withoutComments } from "./tree.ts";

/** Which rooms a room may import. The longest matching room of a file decides; a file may always import its own room. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "shared/": [],
  "db/": ["shared/"],
  "coordinator/store/": ["shared/", "db/", ...dispatcherPorts()],
  "coordinator/dispatch/": ["shared/"],
  "coordinator/domain/": ["shared/", "coordinator/store/", "coordinator/dispatch/"],
  "coordinator/authz/": ["shared/", "coordinator/domain/access/ports.ts"],
  // Adapters: only the port that they implement.
  "coordinator/vault/": ["shared/", "coordinator/domain/credential/vault.ts"],
  "coordinator/background/": ["shared/", "coordinator/domain/"],
  "coordinator/api/": ["shared/", "coordinator/domain/"],
  "coordinator/egress/": ["shared/"],
  "coordinator/oidc/": ["shared/", "coordinator/domain/oidc/ports.ts"],
  // The files beside the rooms (main, settings) wire them.
  "coordinator/": ["shared/", "db/"],
  "agent/link/": ["shared/"],
  "agent/metrics/": ["shared/"],
  "agent/report/": ["shared/", "agent/link/"],
  "agent/run/": ["shared/", "agent/link/", "agent/report/"],
  "agent/lease/": ["shared/", "agent/link/", "agent/run/", "agent/report/"],
  "agent/session/": ["shared/", "agent/link/", "agent/lease/", "agent/run/", "agent/report/"],
  "agent/update/": ["shared/", "agent/session/proxy.ts"],
  "agent/cli/": ["shared/", "agent/link/", "agent/session/", "agent/update/", "agent/settings.ts", "agent/agent.ts"],
  "agent/": ["shared/"],
  "bin/": ["coordinator/", "agent/", "shared/"],
  "scripts/": ["shared/", "db/"],
  "scripts/spicedb/": ["shared/", "coordinator/settings.ts", "coordinator/authz/engine.ts"],
  "test/": ["shared/", "db/", "coordinator/", "agent/", "scripts/", "bin/"],
};

/** What the dispatch core asks the outside for, and the records that pass: store implements and keeps them. */
function dispatcherPorts(): string[] {
  return ["ports", "batch", "load", "contract"].map((name) => `coordinator/dispatch/${name}.ts`);
}

/** They own the cores and the time: they feed them events and carry out the effects. */
const DRIVERS = ["coordinator/dispatch/dispatcher.ts", "coordinator/dispatch/reigning.ts"];

const ROOMS = Object.keys(MAY_IMPORT).sort((a, b) => b.length - a.length);
const isOurs = (target: string): boolean => target.endsWith(".ts");
const imports: Import[] = SOURCES.flatMap(importsOf);

test("rooms import in the agreed direction", () => {
  const wrong = imports.filter(({ from, to }) => {
    if (!isOurs(to)) return false;
    const room = ROOMS.find((name) => from.startsWith(name));
    if (room === undefined) return true;
    return !to.startsWith(room) && !MAY_IMPORT[room]?.some((allowed) => to.startsWith(allowed));
  });
  assert.deepEqual(wrong.map(arrow), []);
});

test("nothing imports a test", () => {
  const wrong = imports.filter(({ from, to }) => isOurs(to) && isTest(to) && !isTest(from));
  assert.deepEqual(wrong.map(arrow), []);
});

test("our own files are imported with their ending, by relative path", () => {
  const wrong = imports.filter(({ to, from }) =>
    isOurs(to) ? !SOURCES.includes(to) : to.startsWith(".") || from === to,
  );
  assert.deepEqual(wrong.map(arrow), []);
});

test("runtime code uses runtime dependencies, and each dependency is used", () => {
  const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const packages = imports.filter(({ to }) => !isOurs(to) && !to.startsWith("node:"));
  const dependencies = Object.keys(manifest.dependencies ?? {});
  const development = Object.keys(manifest.devDependencies ?? {});
  const wrong = packages.filter(({ from, to }) => {
    const name = packageName(to);
    if (dependencies.includes(name)) return false;
    return !(/^(test|scripts)\//.test(from) && development.includes(name));
  });
  assert.deepEqual(wrong.map(arrow), []);
  const used = new Set(packages.map(({ to }) => packageName(to)));
  // Programs inside of a package are found by resolving its name.
  for (const path of SOURCES)
    for (const [, name = ""] of read(path).matchAll(/\.resolve\("([^"]+)"\)/g)) used.add(name);
  assert.deepEqual(
    dependencies.filter((name) => !used.has(name)),
    [],
  );
});

test("every dependency is exact, and the lockfile names no registry", () => {
  const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
  assert.deepEqual(
    Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
  );
  assert.doesNotMatch(read("package-lock.json"), /"resolved"/);
});

test("MessagePack is imported without its native addon", () => {
  // The package's own entry loads a prebuilt addon where it finds one: two decoders, one of which nobody tests.
  const wrong = imports.filter(({ to, typeOnly }) => to === "msgpackr" && !typeOnly);
  assert.deepEqual(wrong.map(arrow), []);
});

test("the two cores read no clock, wait for nothing and draw nothing", () => {
  const impure =
    /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|set(Timeout|Interval|Immediate)|randomBytes|randomUUID)\b/;
  const core = SOURCES.filter(
    (path) => /^(coordinator\/dispatch|agent\/lease)\//.test(path) && !DRIVERS.includes(path),
  );
  assert.deepEqual(
    core.filter((path) => impure.test(withoutComments(read(path)))),
    [],
  );
  assert.deepEqual(
    DRIVERS.filter((path) => !SOURCES.includes(path)),
    [],
  );
});

test("the contract and the dispatch core do no I/O", () => {
  const io = /^node:(fs|net|tls|http|https|http2|dgram|dns|child_process|worker_threads|cluster|os)(\/|$)/;
  const wrong = imports.filter(
    ({ from, to }) =>
      /^(shared|coordinator\/dispatch)\//.test(from) && (io.test(to) || ["pg", "ws", "fastify"].includes(to)),
  );
  assert.deepEqual(wrong.map(arrow), []);
});

function packageName(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function arrow({ from, to }: Import): string {
  return `${from} → ${to}`;
}
