/** `airavata agent update`: what it asks for, what it shows, and which words do not go together. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { airavata } from "../../support/cli.ts";
import { CliServer } from "../../support/cli-server.ts";

const server = new CliServer();
const asked: { method: string; path: string; body: unknown }[] = [];
const rollout = (state: string, target: string, reason = "") => ({
  id: 4,
  version: "1.2.0",
  state,
  reason,
  created_at: "2026-01-01T00:00:00Z",
  ended_at: null,
  agents: [{ agent: 3, name: "node-7", state: target, message: "", changed_at: "2026-01-01T00:00:00Z" }],
});
let looks: unknown[] = [];

before(() => server.start());
after(() => server.stop());
beforeEach(() => {
  asked.length = 0;
  server.intercept = ({ method, path, body }, response) => {
    if (!path.startsWith("/agent")) return false;
    asked.push({ method, path, body });
    const answer = path.includes("update-policy") ? body : looks.length > 1 ? looks.shift() : looks[0];
    response.writeHead(method === "POST" ? 201 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
    return true;
  };
});

const run = (...words: string[]) =>
  airavata(["agent", "update", ...words], { env: { AIRAVATA_SERVER: server.url, AIRAVATA_TOKEN: "right" } });

test("--all --watch: a line per change, the end, and exit 0 or 1", async () => {
  looks = [
    rollout("ACTIVE", "ASKED"),
    rollout("ACTIVE", "PROVING"),
    rollout("DONE", "UPDATED", "1 updated, 0 skipped"),
  ];
  const done = await run("--all", "--watch", "--to", "1.2.0");
  assert.equal(done.code, 0, done.stderr);
  assert.match(
    done.stdout,
    /^node-7: ASKED\nnode-7: PROVING\nnode-7: UPDATED\nRollout 4 to version 1\.2\.0 is DONE: 1 up/,
  );
  assert.deepEqual(asked[0]?.body, { version: "1.2.0" });
  looks = [rollout("STOPPED", "ROLLED_BACK", "node-7: no good")];
  const stopped = await run("3", "--watch");
  assert.equal(stopped.code, 1);
  assert.match(stopped.stdout, /is STOPPED: node-7: no good/);
  assert.ok(asked.some(({ method, body }) => method === "POST" && JSON.stringify(body) === '{"agents":[3]}'));
});

test("--pin, --refuse and --unpin set what each agent takes", async () => {
  assert.match((await run("3", "4", "--pin", "1.1.0")).stdout, /^3 is updated to 1\.1\.0 only\.\n4 is updated/);
  assert.match((await run("3", "--refuse")).stdout, /3 takes no updates/);
  assert.match((await run("3", "--unpin")).stdout, /3 takes every update/);
  assert.deepEqual(asked.at(-1)?.body, { pinned_version: null, updates_refused: false });
});

test("words that do not go together are wrong usage, and nothing is asked", async () => {
  for (const words of [
    ["3", "--all"],
    ["--to", "1.2.0"],
    ["--all", "--stop"],
    ["--pin", "1.0.0"],
    ["3", "--pin", "1.0.0", "--refuse"],
  ]) {
    assert.equal((await run(...words)).code, 3, words.join(" "));
  }
  assert.deepEqual(asked, []);
});
