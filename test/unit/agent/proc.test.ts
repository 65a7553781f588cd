/** The kernel's texts as they were recorded, and as a hostile process would shape them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNvidia } from "../../../agent/metrics/gpus.ts";
import {
  parseBlock,
  parseCgroupMemory,
  parseCgroupPath,
  parseChildren,
  parseCpu,
  parseIo,
  parseLoad,
  parseMeminfo,
  parseNetwork,
  parsePageBytes,
  parseStat,
} from "../../../agent/metrics/proc.ts";

const REST =
  "S 4242 4243 4243 0 -1 4194304 1234 5678 0 0 150 50 30 20 20 0 3 0 987654 12345678 2048 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";
const EXPECTED = { parent: 4242, threads: 3, startTicks: 987_654, cpuMs: 2_500, residentPages: 2_048 };

const names = ["dock", "a b", ") R 1 1 1 (", "x) S 1", "line\nbreak", "((", "))", "", "\u0000\u0007ü"];
for (const name of names) {
  test(`a process called ${JSON.stringify(name)} is read like any other`, () => {
    assert.deepEqual(parseStat(`4243 (${name}) ${REST}`), { name, ...EXPECTED });
  });
}

test("what is no stat is none", () => {
  const broken = ["", "4243", "4243 (dock", "4243 dock) S 1", "4243 (dock) S 1 2 3", `4243 (dock) ${"x ".repeat(30)}`];
  for (const text of [...broken, `4243 (dock) ${REST.replace("987654", "9".repeat(30))}`]) {
    assert.equal(parseStat(text), undefined, text);
  }
});

test("children", () => {
  assert.deepEqual(parseChildren("12 13 4194304 "), [12, 13, 4_194_304]);
  assert.deepEqual(parseChildren(""), []);
  assert.deepEqual(parseChildren("-1 0 x 99999999999 7"), [7]);
});

test("bytes of a process", () => {
  const text =
    "rchar: 323934931\nwchar: 323929600\nsyscr: 632687\nsyscw: 632675\nread_bytes: 4096\nwrite_bytes: 323932160\ncancelled_write_bytes: 0\n";
  assert.deepEqual(parseIo(text), { readBytes: 4_096, writtenBytes: 323_932_160 });
  assert.equal(parseIo(""), undefined);
  assert.equal(parseIo("read_bytes: 1\n"), undefined);
});

test("processors: busy without idle, waiting and stolen time", () => {
  const text =
    "cpu  100 10 50 800 20 5 5 10 7 0\ncpu0 50 5 25 400 10 2 3 5 3 0\ncpu1 50 5 25 400 10 3 2 5 4 0\nintr 9 9\n";
  assert.deepEqual(parseCpu(text), { busyTicks: 170, allTicks: 1_000, cpus: 2 });
  assert.deepEqual(parseCpu("cpu  1 2 3 4\n"), { busyTicks: 6, allTicks: 10, cpus: 0 });
  for (const broken of ["", "cpu\n", "cpu  a b c d", "cpu0 1 2 3 4"]) assert.equal(parseCpu(broken), undefined);
});

test("load", () => {
  assert.equal(parseLoad("1.25 0.80 0.50 3/512 99\n"), 1.25);
  assert.equal(parseLoad("many"), undefined);
});

test("memory: what can be had again is not used", () => {
  const text =
    "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    4096 kB\nSwapTotal:       2048 kB\nSwapFree:        1024 kB\n";
  assert.deepEqual(parseMeminfo(text), {
    usedBytes: 12_288 * 1024,
    limitBytes: 16_384 * 1024,
    swapUsedBytes: 1_024 * 1024,
    swapLimitBytes: 2_048 * 1024,
  });
  assert.equal(parseMeminfo("MemTotal: 1 kB\n"), undefined);
  assert.equal(parseMeminfo(""), undefined);
});

test("a cgroup's memory counts where it has a limit", () => {
  assert.deepEqual(parseCgroupMemory("1000\n", "4000\n", "anon 300\ninactive_file 600\n"), {
    usedBytes: 400,
    limitBytes: 4_000,
  });
  assert.deepEqual(parseCgroupMemory("1000", "4000", ""), { usedBytes: 1_000, limitBytes: 4_000 });
  assert.equal(parseCgroupMemory("1000\n", "max\n", ""), undefined);
  assert.equal(parseCgroupMemory("", "4000\n", ""), undefined);
});

test("the cgroup of version 2 among those of version 1", () => {
  assert.equal(parseCgroupPath("9:name=systemd:/\n4:memory:/other\n0::/user.slice/a:b\n"), "/user.slice/a:b");
  assert.equal(parseCgroupPath("4:memory:/other\n"), undefined);
});

test("network without loopback, interfaces whose names hold colons", () => {
  const row = (name: string, received: number, sent: number): string =>
    `${name}: ${received} 1 0 0 0 0 0 0 ${sent} 1 0 0 0 0 0 0\n`;
  const head = "Inter-|   Receive |  Transmit\n face |bytes    packets errs\n";
  const text = `${head}    ${row("lo", 5, 5)}  ${row("eth0", 100, 200)}${row("eth0:1", 1, 2)}`;
  assert.deepEqual(parseNetwork(text), { receivedBytes: 101, sentBytes: 202 });
  assert.deepEqual(parseNetwork(""), { receivedBytes: 0, sentBytes: 0 });
});

test("a device counts in sectors of 512 bytes", () => {
  assert.deepEqual(parseBlock("   11   1  22  3   4   5  66  7 0 8 9 0 0 0 0\n"), {
    readBytes: 22 * 512,
    writtenBytes: 66 * 512,
  });
  assert.equal(parseBlock("1 2 3"), undefined);
  assert.equal(parseBlock(""), undefined);
});

test("the page size of this machine, and the usual one when it is not told", () => {
  const vector = Buffer.alloc(32);
  vector.writeBigUInt64LE(6n, 0);
  vector.writeBigUInt64LE(65_536n, 8);
  assert.equal(parsePageBytes(vector), 65_536);
  assert.equal(parsePageBytes(Buffer.alloc(0)), 4_096);
});

test("NVIDIA's lines, with what a card does not tell", () => {
  assert.deepEqual(parseNvidia("35, 1024, 16384\n[N/A], [Not Supported], 80\n\ngarbage\n"), [
    [0.35, 2 ** 30, 2 ** 34],
    [-1, -1, 80 * 1024 * 1024],
  ]);
  assert.deepEqual(parseNvidia("100000, -5, 1e300\n"), [[-1, -1, -1]]);
});
