/**
 * Checkpoint encoding: the ledger in chunks of 4,096 tasks a row, and back. Only what changed since the last checkpoint
 * is encoded. Layout of a chunk, little endian: u8 version, u8 0, u16 tasks, u32 length of the sparse part; then columns
 * states u8, attempts u32, tries (user) u8, tries (infrastructure) u8; then the sparse part as JSON (leases, notBefore).
 */
import { CHECKPOINT_CHUNK_TASKS } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import { TaskState } from "../../../shared/model/states.ts";
import type { LoadedState } from "../load.ts";
import type { EncodedCheckpoint, EncodedChunk, EncodedExperiment } from "../ports.ts";
import { foldBatch } from "./fold.ts";
import {
  BrokenInvariant,
  createExperiment,
  type ExperimentLedger,
  emptyLedger,
  idempotencyKey,
  type Ledger,
  type OpenLease,
  stateOf,
  type TemplateLedger,
  templateAt,
} from "./ledger.ts";

const VERSION = 1;
const HEADER_BYTES = 8;
/** state 1 + attempt 4 + tries 2. */
const TASK_BYTES = 7;

interface Sparse {
  /** [position, agent, epoch, root, sinceMs] */
  leases: [number, number, number, string, number][];
  /** [position, wall ms] */
  notBefore: [number, number][];
}

interface ExperimentState {
  priority: number;
  paused: boolean;
  root: string | null;
  forgiven: number;
  endedAtMs: number | null;
  counted: ExperimentLedger["counted"];
}

/**
 * Encodes what changed since the last call and marks it clean; `seq` of the result is the ledger's own. `leasesLeftOut` is
 * a deliberate bug, see mutations.ts.
 */
export function encodeCheckpoint(
  ledger: Ledger,
  shard: number,
  term: number,
  leasesLeftOut = false,
): EncodedCheckpoint {
  const experiments: EncodedExperiment[] = [];
  const chunks: EncodedChunk[] = [];
  for (const experiment of ledger.experiments.values()) {
    if (experiment.dirty) experiments.push(encodeExperiment(experiment));
    experiment.dirty = false;
    for (const template of experiment.templates) {
      for (let chunk = 0; chunk < template.dirty.length; chunk++) {
        if (template.dirty[chunk] === 0) continue;
        template.dirty[chunk] = 0;
        chunks.push({
          experiment: experiment.id,
          template: template.ordinal,
          chunk,
          data: encodeChunk(template, chunk, leasesLeftOut),
        });
      }
    }
  }
  return { shard, term, seq: ledger.seq, experiments, chunks };
}

/** After a checkpoint that failed to be written: all of it is due again. */
export function markDirty(ledger: Ledger, checkpoint: EncodedCheckpoint): void {
  for (const { experiment } of checkpoint.experiments) {
    const known = ledger.experiments.get(experiment as ExperimentLedger["id"]);
    if (known) known.dirty = true;
  }
  for (const { experiment, template, chunk } of checkpoint.chunks) {
    const known = ledger.experiments.get(experiment as ExperimentLedger["id"])?.templates[template];
    if (known) known.dirty[chunk] = 1;
  }
}

function encodeExperiment(experiment: ExperimentLedger): EncodedExperiment {
  const { priority, paused, root, forgiven, endedAtMs, counted } = experiment;
  const state: ExperimentState = { priority, paused, root, forgiven, endedAtMs, counted };
  return { experiment: experiment.id, data: new TextEncoder().encode(JSON.stringify(state)) };
}

function encodeChunk(template: TemplateLedger, chunk: number, leasesLeftOut: boolean): Uint8Array {
  const from = chunk * CHECKPOINT_CHUNK_TASKS;
  const to = Math.min(from + CHECKPOINT_CHUNK_TASKS, template.count);
  const tasks = to - from;
  const sparse: Sparse = { leases: [], notBefore: [] };
  for (let index = from; index < to; index++) {
    if (stateOf(template, index) === TaskState.LEASED && !leasesLeftOut) {
      const lease = template.leases.get(index) as OpenLease;
      sparse.leases.push([index - from, lease.agent, lease.epoch, lease.root, lease.sinceMs]);
    }
  }
  for (const [index, ms] of template.notBefore)
    if (index >= from && index < to) sparse.notBefore.push([index - from, ms]);
  const tail = new TextEncoder().encode(JSON.stringify(sparse));
  const data = new Uint8Array(HEADER_BYTES + tasks * TASK_BYTES + tail.length);
  const view = new DataView(data.buffer);
  view.setUint8(0, VERSION);
  view.setUint16(2, tasks, true);
  view.setUint32(4, tail.length, true);
  data.set(template.states.subarray(from, to), HEADER_BYTES);
  for (let i = 0; i < tasks; i++) {
    view.setUint32(HEADER_BYTES + tasks + i * 4, template.attempts[from + i] as number, true);
  }
  data.set(template.triedUser.subarray(from, to), HEADER_BYTES + tasks * 5);
  data.set(template.triedInfrastructure.subarray(from, to), HEADER_BYTES + tasks * 6);
  data.set(tail, HEADER_BYTES + tasks * TASK_BYTES);
  return data;
}

function decodeChunk(template: TemplateLedger, chunk: number, data: Uint8Array): void {
  const from = chunk * CHECKPOINT_CHUNK_TASKS;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (view.getUint8(0) !== VERSION)
    throw new BrokenInvariant(`a checkpoint chunk has version ${view.getUint8(0)}, not 1`);
  const tasks = view.getUint16(2, true);
  const tailBytes = view.getUint32(4, true);
  if (tasks !== Math.min(CHECKPOINT_CHUNK_TASKS, template.count - from))
    throw new BrokenInvariant("a chunk's size is off");
  template.states.set(data.subarray(HEADER_BYTES, HEADER_BYTES + tasks), from);
  for (let i = 0; i < tasks; i++) template.attempts[from + i] = view.getUint32(HEADER_BYTES + tasks + i * 4, true);
  template.triedUser.set(data.subarray(HEADER_BYTES + tasks * 5, HEADER_BYTES + tasks * 6), from);
  template.triedInfrastructure.set(data.subarray(HEADER_BYTES + tasks * 6, HEADER_BYTES + tasks * 7), from);
  const start = HEADER_BYTES + tasks * TASK_BYTES;
  const sparse = JSON.parse(new TextDecoder().decode(data.subarray(start, start + tailBytes))) as Sparse;
  for (const [position, agent, epoch, root, sinceMs] of sparse.leases) {
    template.leases.set(from + position, { agent: agent as OpenLease["agent"], epoch, root, sinceMs });
  }
  for (const [position, ms] of sparse.notBefore) template.notBefore.set(from + position, ms);
}

function recount(experiment: ExperimentLedger): void {
  experiment.open = 0;
  for (const template of experiment.templates) {
    template.counts.fill(0);
    for (let i = 0; i < template.count; i++) {
      const state = stateOf(template, i);
      template.counts[state] = (template.counts[state] as number) + 1;
    }
    for (let state = 0; state < TaskState.COMPLETED; state++) experiment.open += template.counts[state] as number;
  }
}

/** The live ledger from what the store loaded. Throws BrokenInvariant when the pieces contradict each other. */
export function ledgerFrom(loaded: LoadedState): Ledger {
  const ledger = emptyLedger();
  ledger.seq = loaded.checkpointSeq;
  for (const entry of loaded.experiments) {
    const { experiment, project, actor, definition, submittedAtMs } = entry;
    const created = createExperiment(experiment, project, actor, definition, submittedAtMs);
    created.dirty = false;
    ledger.experiments.set(experiment, created);
  }
  for (const { experiment, data } of loaded.experimentStates) {
    const known = ledger.experiments.get(experiment as ExperimentLedger["id"]);
    if (!known) continue;
    const state = JSON.parse(new TextDecoder().decode(data)) as ExperimentState;
    Object.assign(known, state, { rootDecided: state.root });
  }
  for (const { experiment, template, chunk, data } of loaded.chunks) {
    const known = ledger.experiments.get(experiment as ExperimentLedger["id"]);
    if (known) decodeChunk(templateAt(known, template), chunk, data);
  }
  if (loaded.chunks.length > 0) for (const experiment of ledger.experiments.values()) recount(experiment);
  for (const { actor, key, bodyHash, experiment, atMs } of loaded.idempotency) {
    ledger.idempotency.set(idempotencyKey(actor, key), { bodyHash, experiment, atMs });
  }
  // Experiments submitted by the batches raise it as they are folded; older ones that ended are not loaded at all.
  const firstInBatches = loaded.batches.flatMap((batch) => batch.submits.map((submit) => submit.experiment));
  const before = firstInBatches.length > 0 ? Math.min(...firstInBatches) - 1 : loaded.experimentMax;
  ledger.experimentMax = Math.max(ledger.experimentMax, before);
  for (const batch of loaded.batches) foldBatch(ledger, batch);
  ledger.experimentMax = Math.max(ledger.experimentMax, loaded.experimentMax);
  return ledger;
}

/** One experiment from its own part of the journal, whose seqs have gaps; undefined when it is not in there. */
export function experimentFromHistory(loaded: LoadedState, id: ExperimentId): ExperimentLedger | undefined {
  const { batches, ...rest } = loaded;
  const ledger = ledgerFrom({ ...rest, batches: [], experimentMax: id - 1 });
  for (const batch of batches) {
    ledger.seq = batch.seq - 1;
    foldBatch(ledger, batch);
  }
  return ledger.experiments.get(id);
}
