import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { configuredToken, readClientSettings } from "../../../agent/cli/settings.ts";

const home = mkdtempSync(join(tmpdir(), "airavata-settings-"));
after(() => rmSync(home, { recursive: true, force: true }));

let made = 0;
/** Environment with this configuration file. */
function withConfig(text: string): NodeJS.ProcessEnv {
  const base = join(home, String(++made));
  mkdirSync(join(base, "airavata"), { recursive: true });
  writeFileSync(join(base, "airavata", "config.yaml"), text);
  return { XDG_CONFIG_HOME: base, XDG_DATA_HOME: base };
}

test("flag beats environment beats file", async () => {
  const environment = withConfig("server: http://file\n");
  const read = async (flags: Record<string, unknown>, env: NodeJS.ProcessEnv) =>
    (await readClientSettings(flags, env)).values.server;
  assert.equal(await read({}, environment), "http://file");
  assert.equal(await read({}, { ...environment, AIRAVATA_SERVER: "http://env" }), "http://env");
  assert.equal(await read({ server: "http://flag" }, { ...environment, AIRAVATA_SERVER: "http://env" }), "http://flag");
});

test("no file is no error", async () => {
  const { values } = await readClientSettings({}, { XDG_CONFIG_HOME: join(home, "none") });
  assert.equal(values.server, undefined);
});

test("a token in the file is for the server in the file alone", async () => {
  const environment = withConfig("server: http://file\ntoken: secret\n");
  assert.equal(configuredToken(await readClientSettings({}, environment)), "secret");
  assert.equal(configuredToken(await readClientSettings({ server: "http://elsewhere" }, environment)), undefined);
  const stated = { ...environment, AIRAVATA_TOKEN: "mine" };
  assert.equal(configuredToken(await readClientSettings({ server: "http://elsewhere" }, stated)), "mine");
});

test("a token file is read and trimmed", async () => {
  const path = join(home, "token");
  writeFileSync(path, "t0ken\n");
  assert.equal(configuredToken(await readClientSettings({ "token-file": path }, withConfig(""))), "t0ken");
  await assert.rejects(readClientSettings({ "token-file": join(home, "missing") }, withConfig("")), {
    code: "setting_invalid",
  });
});

test("a key that is not a setting is named with the nearest one", async () => {
  await assert.rejects(readClientSettings({}, withConfig("sever: http://x\n")), (error: Error) => {
    assert.match(error.message, /config\.yaml has "sever".*did you mean "server"/);
    return true;
  });
});

test("a broken file and a bomb are refused with its path", async () => {
  for (const text of ["server: [", "a: &a [x]\nserver: *a\n"]) {
    await assert.rejects(readClientSettings({}, withConfig(text)), (error: Error & { code?: string }) => {
      assert.equal(error.code, "setting_invalid");
      assert.match(error.message, /config\.yaml/);
      return true;
    });
  }
});
