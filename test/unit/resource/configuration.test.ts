/** Configurations of resources, as people type them and as the coordinator takes them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mergedConfiguration } from "../../../agent/cli/command/resource-configuration.ts";
import { checkConfiguration } from "../../../coordinator/domain/resource/configuration.ts";

test("each kind has what it cannot do without", () => {
  const good: [string, Record<string, string | string[]>][] = [
    ["slurm", { host: "login" }],
    ["kubernetes", { namespace: "jobs" }],
    ["baremetal", { hosts: ["a", "b"] }],
    ["s3", { bucket: "b" }],
    ["sftp", { host: "h" }],
    ["nfs", { path: "/data" }],
    ["local", { path: "/scratch" }],
  ];
  for (const [kind, configuration] of good) {
    checkConfiguration(kind, { ...configuration, whatever: 4 });
    const without = { whatever: true };
    assert.throws(() => checkConfiguration(kind, without), { code: "request_invalid", message: new RegExp(kind) });
  }
  assert.throws(() => checkConfiguration("local", { path: "relative" }), /absolute path/);
  assert.throws(() => checkConfiguration("baremetal", { hosts: [] }), /list of names/);
  assert.throws(() => checkConfiguration("slurm", { host: "" }), /configuration.host/);
});

test("secrets, control characters and bulk are refused", () => {
  const slurm = { host: "login" };
  for (const key of ["password", "api_key", "secret_access_key", "ssh_private", "token"]) {
    assert.throws(() => checkConfiguration("slurm", { ...slurm, [key]: "x" }), /kept as a credential/);
  }
  assert.throws(() => checkConfiguration("slurm", { host: "login\nrm -rf" }), /control characters/);
  assert.throws(() => checkConfiguration("slurm", { ...slurm, nodes: ["a", "b\u0000"] }), /control characters/);
  checkConfiguration("slurm", { ...slurm, note: "x".repeat(4_000) });
  assert.throws(() => checkConfiguration("slurm", { ...slurm, note: "x".repeat(4_096) }), /4096 bytes/);
});

test("what is typed becomes text, numbers, yes or no, and lists", () => {
  assert.deepEqual(mergedConfiguration({}, ["host=h", "port=22", "tls=true", "x=1.5", "y=a=b", "z="]), {
    host: "h",
    port: 22,
    tls: true,
    x: 1.5,
    y: "a=b",
    z: "",
  });
  assert.deepEqual(mergedConfiguration({}, ["hosts=a", "hosts=b", 'one=["c"]']), { hosts: ["a", "b"], one: ["c"] });
  assert.deepEqual(mergedConfiguration({ host: "h", port: 22 }, ["host=i"], ["port"]), { host: "i" });
  for (const word of ["host", "=h", "Host=h", "ho st=h"]) {
    assert.throws(() => mergedConfiguration({}, [word]), { code: "usage_invalid" });
  }
});
