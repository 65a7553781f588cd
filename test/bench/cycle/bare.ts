/**
 * The same journal batches written by a bare client: what PostgreSQL alone takes, without core, HTTP, WebSocket. A batch
 * leases 1,000 tasks and ends the 1,000 of the batch before, as the dispatcher's do at full load.
 */

import { type Batch, type CounterDelta, type EndRecord, emptyEnd } from "../../../coordinator/dispatch/batch.ts";
import { createLeadership } from "../../../coordinator/store/leadership.ts";
import { parseDatabaseUrl } from "../../../db/address.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import type { ExperimentDefinition } from "../../../shared/model/definition.ts";
import { type AgentId, DEFAULT_PROJECT, type ExperimentId, OPERATOR_ACTOR } from "../../../shared/model/ids.ts";
import { type Contender, cpuMsOfTree, peakBytesOf, type Round } from "../report/measure.ts";
import type { Database } from "../system/database.ts";
import { arrayDefinition } from "./spec.ts";

const BATCH = 1_000;

export async function bare(database: Database, tasks: number): Promise<Contender> {
  const mono = (): number => performance.now();
  const address = parseDatabaseUrl(database.url);
  const candidate = { address, shard: 0, holder: "bench", internalAddress: "none", mono };
  const stop = new AbortController();
  const reign = await createLeadership(candidate, silentLogger).campaign(stop.signal);
  const loaded = await reign.load();
  let seq = Math.max(loaded.checkpointSeq, ...loaded.batches.map((batch) => batch.seq));
  let experiment = loaded.experimentMax;
  const definition = arrayDefinition(tasks);
  return {
    name: "bare client",
    round: async (): Promise<Round> => {
      const id = ++experiment as ExperimentId;
      const cpu = cpuMsOfTree(process.pid) + database.cpuMs();
      const start = performance.now();
      await reign.append(submitBatch(reign.term, ++seq, id, definition));
      for (let from = 0; from <= tasks; from += BATCH) {
        await reign.append(cycleBatch(reign.term, ++seq, id, from, Math.min(BATCH, tasks - from)));
      }
      const elapsedMs = performance.now() - start;
      const cpuMs = cpuMsOfTree(process.pid) + database.cpuMs() - cpu;
      return { count: tasks, elapsedMs, cpuMs, peakBytes: peakBytesOf(process.pid) };
    },
    close: () => reign.resign(),
  };
}

function emptyBatch(term: number, seq: number): Batch {
  return { shard: 0, term, seq, atMs: Date.now(), submits: [], leases: [], ends: [], decisions: [], deltas: [] };
}

function submitBatch(term: number, seq: number, experiment: ExperimentId, definition: ExperimentDefinition): Batch {
  const batch = emptyBatch(term, seq);
  const owner = { project: DEFAULT_PROJECT, actor: OPERATOR_ACTOR };
  batch.submits.push({ experiment, ...owner, definition, specText: "", idempotency: null });
  return batch;
}

/** Leases `from … from+count` and ends the thousand before them. */
function cycleBatch(term: number, seq: number, experiment: ExperimentId, from: number, count: number): Batch {
  const batch = emptyBatch(term, seq);
  const delta: CounterDelta = { experiment, leased: 0, completed: 0, failed: 0, canceled: 0, requeued: 0 };
  if (count > 0) {
    const indexes = Array.from({ length: count }, (_, i) => from + i);
    const attempts = indexes.map(() => 1);
    batch.leases.push({ agent: 1 as AgentId, epoch: 1, root: "bench", experiment, template: 0, indexes, attempts });
    delta.leased = count;
  }
  if (from > 0) {
    batch.ends.push(ends(experiment, from - BATCH));
    delta.completed = BATCH;
  }
  batch.deltas.push(delta);
  return batch;
}

function ends(experiment: ExperimentId, from: number): EndRecord {
  const end = emptyEnd(experiment, 0);
  const now = Date.now();
  for (let i = 0; i < BATCH; i++) {
    end.indexes.push(from + i);
    end.attempts.push(1);
    end.agents.push(1);
    for (const zero of [end.dispositions, end.outcomes, end.blames, end.charges, end.signals, end.exitCodes])
      zero.push(0);
    for (const zero of [end.notBeforeMs, end.cpuMs, end.memoryMaxBytes]) zero.push(0);
    end.startedAtMs.push(now - (i % 7));
    end.endedAtMs.push(now);
  }
  return end;
}
