import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { downloadOutputs, safeParts } from "../../../agent/cli/download.ts";
import { createClient } from "../../../shared/api/client.ts";
import { CliServer } from "../../support/cli-server.ts";

const server = new CliServer();
let directory: string;
before(() => server.start());
after(() => server.stop());
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "airavata-download-"));
  server.intercept = undefined;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function output(path: string, text: string, sizeBytes = Buffer.byteLength(text)) {
  const content = Buffer.from(text);
  return {
    task: "17.dock.0",
    template: "dock",
    index: 0,
    attempt: 1,
    output: "SCORE",
    path,
    size_bytes: sizeBytes,
    content,
  };
}
const fetchAll = (into = "out") =>
  downloadOutputs({ client: createClient({ server: server.url }), experiment: 17, directory: join(directory, into) });

test("files come with their names and bytes, also many, empty and oddly named ones", async () => {
  const odd = "dock/0/a b%20#?é.txt";
  server.outputs = [
    ...Array.from({ length: 20 }, (_, i) => output(`dock/${i}/score.txt`, `score ${i}\n`)),
    output(odd, "odd"),
    output("dock/0/empty", ""),
  ];
  const done = await fetchAll();
  assert.deepEqual(done.problems, []);
  assert.equal(done.files, 22);
  assert.equal(readFileSync(join(directory, "out/dock/7/score.txt"), "utf8"), "score 7\n");
  assert.equal(readFileSync(join(directory, "out", odd), "utf8"), "odd");
  assert.equal(readFileSync(join(directory, "out/dock/0/empty"), "utf8"), "");
});

test("nothing to download leaves no directory behind", async () => {
  server.outputs = [];
  assert.deepEqual((await fetchAll()).files, 0);
  assert.equal(existsSync(join(directory, "out")), false);
});

test("a name that leads out is a problem and writes nothing", async () => {
  const hostile = ["../evil", "dock/../../evil", "/etc/evil", "dock//evil", "dock/./evil", "dock/evil\0", ""];
  for (const path of hostile) assert.equal(safeParts(path), undefined, path);
  server.outputs = [output("dock/../../evil", "x"), output("dock/0/good", "y")];
  const done = await fetchAll();
  assert.equal(done.files, 1);
  assert.match(done.problems.join(), /leads out/);
  assert.ok(!existsSync(join(directory, "evil")));
});

test("nothing is written through a link that lies in the way", async () => {
  mkdirSync(join(directory, "out/dock"), { recursive: true });
  mkdirSync(join(directory, "elsewhere"));
  symlinkSync(join(directory, "elsewhere"), join(directory, "out/dock/0"));
  server.outputs = [output("dock/0/score.txt", "x")];
  const done = await fetchAll();
  assert.match(done.problems.join(), /is a link/);
  assert.deepEqual(readdirSync(join(directory, "elsewhere")), []);
});

test("a link in place of the file itself is replaced, not followed", async () => {
  writeFileSync(join(directory, "precious"), "precious");
  mkdirSync(join(directory, "out/dock/0"), { recursive: true });
  symlinkSync(join(directory, "precious"), join(directory, "out/dock/0/score.txt"));
  server.outputs = [output("dock/0/score.txt", "new")];
  assert.deepEqual((await fetchAll()).problems, []);
  assert.equal(readFileSync(join(directory, "precious"), "utf8"), "precious");
  assert.equal(readFileSync(join(directory, "out/dock/0/score.txt"), "utf8"), "new");
});

test("an answer that breaks off is asked for again", async () => {
  let broken = 0;
  server.outputs = [output("dock/0/score.txt", "whole")];
  server.intercept = (seen, response) => {
    if (!seen.path.endsWith("score.txt") || broken > 0) return false;
    broken += 1;
    response.writeHead(200, { "content-length": "5" });
    response.write("wh", () => response.destroy());
    return true;
  };
  assert.deepEqual((await fetchAll()).problems, []);
  assert.equal(readFileSync(join(directory, "out/dock/0/score.txt"), "utf8"), "whole");
});

test("a file that is shorter than listed never gets its name", async () => {
  server.outputs = [output("dock/0/score.txt", "part", 400)];
  const done = await fetchAll();
  assert.match(done.problems.join(), /4 bytes but was listed with 400/);
  assert.deepEqual(readdirSync(join(directory, "out/dock/0")), []);
});

test("a directory that cannot be written ends it with a sentence", async () => {
  writeFileSync(join(directory, "file"), "");
  server.outputs = [output("dock/0/score.txt", "x")];
  await assert.rejects(fetchAll("file"), { code: "output_not_written" });
});
