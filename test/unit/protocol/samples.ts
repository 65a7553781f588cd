/** One message of every type and of every shape that a type has, for the codec's tests. */
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { FromAgent, ToAgent } from "../../../shared/protocol/messages.ts";
import { shell, template } from "../../support/agent-templates.ts";

const experiment = 17 as ExperimentId;
const attempts = { experiment, template: 3, indexes: [0, 9_999_999], attempts: [1, 12] };

export const TO_AGENT: ToAgent[] = [
  { type: "challenge", version: 1, versionOldest: 1, nonce: "n".repeat(43), timeline: 3 },
  { type: "welcome", epoch: 2 ** 34, timeline: 3, ttlMs: 20_000, superseded: [attempts] },
  {
    type: "leases",
    groups: [
      {
        ...attempts,
        leased: template({
          command: shell("echo hello"),
          outputs: [{ name: "SCORE", glob: "score*.txt" }],
          definition: {
            inputs: [
              [
                { name: "ligand", kind: "range", fromScaled: -5, stepScaled: 25, decimals: 1, count: 40 },
                { name: "kind", kind: "list", values: ["a", "b"] },
              ],
            ],
            references: [
              { template: 1, output: "OUT", variable: "AIRAVATA_INPUT_a_OUT" },
              { template: 1, output: "MANY", variable: null },
            ],
            environment: { PATHS: ["x", { value: "ligand" }, { output: "OUT", template: 1 }] },
          },
          leased: { parentOutputs: { 1: { OUT: "out.txt" } }, parameters: { seed: "42" } },
        }),
        values: [{ ligand: "1" }, { ligand: "ü" }],
        parents: [[[1]], [[1, 2, 3]]],
        medianMs: 12.5,
      },
      {
        ...attempts,
        template: 4,
        leased: template({ command: { kind: "argv", argv: [["a", { value: "b" }], [{ output: "O", template: 0 }]] } }),
        medianMs: 0,
      },
    ],
  },
  { type: "ack", groups: [attempts], refused: [{ group: attempts, code: "stale", message: "attempt 3 is newer" }] },
  { type: "recall", groups: [attempts] },
  { type: "cancel", groups: [attempts], graceMs: 10_000, reason: "canceled" },
  { type: "update", rollout: 4, version: "1.2.0-rc.1", sha256: "0f".repeat(32), sizeBytes: 110e6, path: "/api/v1/x" },
  { type: "drain", reason: "maintenance" },
  { type: "renewed", sentAtMs: 123_456 },
  {
    type: "read",
    request: 1,
    file: { experiment, template: 0, index: 1, attempt: 1, stream: "stdout" },
    offset: 0,
    limit: 65_536,
    follow: true,
  },
  {
    type: "read",
    request: 2,
    file: { experiment, template: 0, index: 1, attempt: 1, path: "a/b.txt" },
    offset: 7,
    limit: 9,
    follow: false,
  },
  { type: "read_stop", request: 2 },
  { type: "list", request: 3, group: attempts },
  { type: "error", code: "not_leading", message: "later", reaction: "reconnect" },
];

export const FROM_AGENT: FromAgent[] = [
  {
    type: "hello",
    version: 1,
    agent: 7 as Extract<FromAgent, { type: "hello" }>["agent"],
    name: "node-1",
    proof: "p".repeat(88),
    program: "0.1.0",
    hostname: "node-1.example",
    root: "8d7f",
    capacity: {
      cpus: 1.5,
      memoryBytes: 2 ** 40,
      gpus: 2,
      vramBytes: 2 ** 34,
      diskBytes: 2 ** 41,
      custom: { licence: 2 },
      labels: { rack: "a" },
    },
    lastsMs: 3_600_000,
    draining: false,
    held: [{ ...attempts, phases: [0, 2], startedAtMs: [0, 1_790_000_000_000] }],
    platform: "linux-x64",
  },
  { type: "update_state", rollout: 4, version: "1.2.0", phase: "DOWNLOADING", message: "3 of 110 MB" },
  { type: "free", ahead: -1, lastsMs: null, draining: true },
  { type: "renew", sentAtMs: 99 },
  { type: "started", groups: [{ ...attempts, startedAtMs: [1, 1_790_000_000_000] }] },
  {
    type: "ended",
    groups: [
      {
        ...attempts,
        outcomes: [0, 1],
        blames: [0, 1],
        exitCodes: [0, -1],
        signals: [0, 9],
        startedAtMs: [0, 1_790_000_000_000],
        endedAtMs: [5, 1_790_000_000_001],
        cpuMs: [1, 2],
        memoryMaxBytes: [0, 2 ** 40],
        tails: { 1: "last words\n" },
        details: { 1: "killed for memory" },
      },
    ],
  },
  {
    type: "ended",
    groups: [
      {
        ...attempts,
        outcomes: [0, 0],
        blames: [0, 0],
        exitCodes: [0, 0],
        signals: [0, 0],
        startedAtMs: [1, 2],
        endedAtMs: [5, 6],
        cpuMs: [1, 2],
        memoryMaxBytes: [0, 2 ** 40],
        readBytes: [0, 512],
        writtenBytes: [2 ** 40, 0],
      },
    ],
  },
  {
    type: "metrics",
    atMs: 1_790_000_000_000,
    node: [0.25, 2, 1.5, 2 ** 33, 2 ** 34, 0, 0, -1],
    gpus: [
      [0.5, 2 ** 30, 2 ** 34],
      [-1, -1, -1],
    ],
    groups: [
      {
        ...attempts,
        cpuMs: [1_000, 0],
        cpuPermille: [998, 0],
        memoryBytes: [2 ** 26, 0],
        memoryPeakBytes: [2 ** 27, 0],
        readBytes: [0, 0],
        writtenBytes: [10_485_760, 0],
      },
    ],
  },
  { type: "metrics", atMs: 0, groups: [] },
  { type: "chunk", request: 1, offset: 0, data: new Uint8Array([1, 2, 255]), totalBytes: 3, end: false },
  {
    type: "chunk",
    request: 1,
    offset: 0,
    data: new Uint8Array(0),
    totalBytes: 0,
    end: true,
    missing: "there is no such file",
  },
  {
    type: "listed",
    request: 3,
    outputs: [{ index: 1, output: "SCORE", path: "a/score.txt", sizeBytes: 12 }],
    problem: "one is a link",
    end: true,
  },
  { type: "goodbye", reason: "drained" },
  { type: "error", code: "frame_invalid", message: "what?", reaction: "none" },
];
