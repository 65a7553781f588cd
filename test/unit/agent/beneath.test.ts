/** Files beneath a directory and readable links: what leads outside is refused, what moves back is not. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { listBeneath, openBeneath } from "../../../agent/link/beneath.ts";
import { publish } from "../../../agent/link/publish.ts";

let top: string;
let root: string;

before(async () => {
  top = await mkdtemp(join(tmpdir(), "airavata-beneath-"));
  root = join(top, "root");
  await mkdir(join(root, "a/b"), { recursive: true });
  await mkdir(join(top, "rootless"));
  await writeFile(join(top, "secret"), "secret");
  await writeFile(join(top, "rootless/secret"), "secret");
  await writeFile(join(root, "file"), "file");
  await writeFile(join(root, "a/b/deep"), "deep");
  await symlink("a/b", join(root, "down"));
  await symlink("../file", join(root, "a/up"));
  await symlink("../secret", join(root, "out"));
  await symlink("/etc/passwd", join(root, "absolute"));
  await symlink("a/../../secret", join(root, "sly"));
  await symlink("loop", join(root, "loop"));
  await symlink("down/../b/deep", join(root, "round"));
  execFileSync("mkfifo", [join(root, "pipe")]);
});
after(() => rm(top, { recursive: true, force: true }));

for (const [path, text] of [
  ["file", "file"],
  ["./a//b/deep", "deep"],
  ["down/deep", "deep"],
  ["a/up", "file"],
  ["a/b/../up", "file"],
  ["round", "deep"],
] as const) {
  test(`${path} is opened`, async () => {
    const { file, sizeBytes } = await openBeneath(root, path);
    assert.equal(await file.readFile("utf8"), text);
    assert.equal(sizeBytes, text.length);
    await file.close();
  });
}

for (const [path, why] of [
  ["out", "outside"],
  ["../secret", "outside"],
  ["../rootless/secret", "outside"],
  ["a/../../secret", "outside"],
  ["absolute", "outside"],
  ["sly", "outside"],
  ["down/../../../secret", "outside"],
  ["loop", "failed"],
  ["missing", "missing"],
  ["file/x", "missing"],
  ["a", "not_a_file"],
  ["", "not_a_file"],
  ["pipe", "not_a_file"],
  ["a\0b", "outside"],
] as const) {
  test(`${JSON.stringify(path)} is refused: ${why}`, async () => {
    await assert.rejects(openBeneath(root, path), { name: "BeneathError", why });
  });
}

test("an absolute path means below the root, as in an archive", async () => {
  await assert.rejects(openBeneath(root, "/etc/passwd"), { why: "missing" });
});

test("a directory is listed by kinds, links are not entered", async () => {
  const kinds = Object.fromEntries((await listBeneath(root, "")).map(({ name, kind }) => [name, kind]));
  assert.deepEqual([kinds.file, kinds.a, kinds.out, kinds.pipe], ["file", "directory", "link", "other"]);
  await assert.rejects(listBeneath(root, "down"), { name: "BeneathError" });
});

test("the link goes to the newest attempt, never back, and leaves alone what is not ours", async () => {
  const of = (attempt: number) => ({ experiment: 17, template: "dock", index: 42, attempt });
  const link = join(top, "17/dock/42");
  assert.equal(await publish(top, of(2)), true);
  assert.equal(await readlink(link), "../../.attempts/17/dock/42/2");
  assert.equal(await publish(top, of(1)), false);
  assert.equal(await publish(top, of(2)), true);
  assert.equal(await publish(top, of(10)), true);
  assert.equal(await readlink(link), "../../.attempts/17/dock/42/10");
  await rm(link);
  await writeFile(link, "mine");
  assert.equal(await publish(top, of(11)), false);
  assert.equal(await readFile(link, "utf8"), "mine");
});
