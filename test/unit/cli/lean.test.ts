/** An agent holds only what it needs: nothing of the client, its schemas, YAML or fetch is loaded under `airavata agent`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

const SCRIPT = `
  import { registerHooks } from "node:module";
  const loaded = [];
  registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
  const [word, program, socket] = process.argv.slice(1);
  const { buildProgram } = await import(program);
  const screen = { write() {}, columns: 0, isTerminal: false, paint: (_, text) => text };
  await buildProgram({ environment: {}, out: screen, err: screen }, () => {}, word);
  await import(socket);
  console.log(JSON.stringify([...loaded, ...process.moduleLoadList]));
`;
const HEAVY = /node_modules\/(zod|yaml|fastify|pg)\/|\/shared\/api\/|internal\/deps\/undici\/undici$/;

function heavyUnder(word: string): string[] {
  const files = ["cli/program.ts", "session/socket.ts"].map(
    (name) => new URL(`../../../agent/${name}`, import.meta.url),
  );
  const words = ["--input-type=module", "-e", SCRIPT, word, ...files.map(String)];
  const output = execFileSync(process.execPath, words, { encoding: "utf8", maxBuffer: 1 << 24 });
  return (JSON.parse(output) as string[]).filter((name) => HEAVY.test(name));
}

test("airavata agent loads none of what only the client needs", () => {
  assert.deepEqual(heavyUnder("agent"), []);
});

test("another command does, so the check above sees what it looks for", () => {
  const heavy = heavyUnder("run").join("\n");
  for (const name of ["/zod/", "/yaml/", "/shared/api/"]) assert.match(heavy, new RegExp(name));
});
