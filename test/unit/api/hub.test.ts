/** The hub with watchers that take, that do not, and that fall behind a small ring. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Batch } from "../../../coordinator/dispatch/batch.ts";
import type { Committed, Dispatcher, Leadership } from "../../../coordinator/dispatch/contract.ts";
import type { AgentRecord } from "../../../coordinator/domain/agent/record.ts";
import type { EventFilter } from "../../../coordinator/domain/event/event.ts";
import {
  createEventHub,
  type Snapshot,
  type SnapshotSource,
  type WatcherSink,
} from "../../../coordinator/domain/event/hub.ts";
import { EventRing } from "../../../coordinator/domain/event/ring.ts";
import type { ExperimentRecord } from "../../../coordinator/domain/experiment/record.ts";
import { silentLogger } from "../../../shared/log/log.ts";
import { PROGRESS_PERIOD_MS } from "../../../shared/model/constants.ts";
import type { ActorId, AgentId, ExperimentId } from "../../../shared/model/ids.ts";

const PROJECTS: Record<number, string> = { 1: "physics", 2: "chemistry" };
const EVERYTHING: EventFilter = { experiments: null, project: null, agents: null, rights: null };

/** The part of a dispatcher that the hub uses, by hand. */
function fakeDispatcher() {
  let publish: (committed: Committed) => void = () => {};
  let lead: (leadership: Leadership) => void = () => {};
  const leadership: Leadership = { leading: true, term: 1, timeline: 1, seq: 0, detail: "" };
  const dispatcher = {
    leadership: () => leadership,
    experiment: (id: ExperimentId) => ({ definition: { project: PROJECTS[id] ?? "", templates: [] } }),
    subscribe: (listener: typeof publish) => {
      publish = listener;
      return () => {};
    },
    onLeadership: (listener: typeof lead) => {
      lead = listener;
      return () => {};
    },
  } as unknown as Dispatcher;
  return {
    dispatcher,
    commit(decisions: number, changed: ExperimentId[] = []): void {
      leadership.seq++;
      const decision = {
        kind: "pause" as const,
        experiment: 1 as ExperimentId,
        actor: 1 as ActorId,
        scope: null,
        reason: "",
        value: null,
      };
      const batch: Batch = {
        shard: 0,
        term: 1,
        seq: leadership.seq,
        atMs: 0,
        submits: [],
        leases: [],
        ends: [],
        decisions: Array.from({ length: decisions }, () => decision),
        deltas: [],
      };
      publish({ timeline: 1, batch, changed });
    },
    depose(): void {
      leadership.leading = false;
      lead(leadership);
    },
  };
}

class Sink implements WatcherSink {
  readonly cursors: string[] = [];
  readonly snapshots: Snapshot[] = [];
  readonly figures: ExperimentRecord[] = [];
  isReady = true;
  closed: string | undefined;
  subscribed(): void {}
  event(cursor: string): void {
    this.cursors.push(cursor);
  }
  snapshot(snapshot: Snapshot): void {
    this.snapshots.push(snapshot);
  }
  progress(_cursor: string, experiments: ExperimentRecord[]): void {
    this.figures.push(...experiments);
  }
  ready(): boolean {
    return this.isReady;
  }
  close(reason: string): void {
    this.closed = reason;
  }
}

function setUp(
  ringMax: number,
  snapshot: SnapshotSource = async () => ({ experiments: [], agents: [], complete: true }),
  record: (id: ExperimentId) => ExperimentRecord | undefined = () => undefined,
) {
  const fake = fakeDispatcher();
  const ring = new EventRing(ringMax);
  const hub = createEventHub({
    dispatcher: fake.dispatcher,
    log: silentLogger,
    snapshot,
    record,
    ring,
  });
  return { ...fake, hub };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a watcher that waits is served from where it was", async () => {
  const { hub, commit } = setUp(100);
  const sink = new Sink();
  const watcher = hub.watch(EVERYTHING, "1.0.0", sink);
  commit(2);
  sink.isReady = false;
  commit(1);
  commit(1);
  assert.deepEqual(sink.cursors, ["1.1.1", "1.1.0"]);
  sink.isReady = true;
  watcher.pump();
  assert.deepEqual(sink.cursors, ["1.1.1", "1.1.0", "1.2.0", "1.3.0"]);
  assert.equal(sink.snapshots.length, 0);
  hub.close();
  assert.match(sink.closed ?? "", /shutting down/);
  assert.equal(hub.watchers(), 0);
});

test("a watcher that the ring left behind gets a snapshot, then goes on", async () => {
  const { hub, commit } = setUp(3);
  const sink = new Sink();
  const watcher = hub.watch(EVERYTHING, "1.0.0", sink);
  sink.isReady = false;
  for (let i = 0; i < 5; i++) commit(1);
  sink.isReady = true;
  watcher.pump();
  // What is committed while the snapshot is read comes after it.
  commit(1);
  assert.deepEqual(sink.cursors, []);
  await turn();
  assert.deepEqual(
    sink.snapshots.map(({ cursor }) => cursor),
    ["1.5.0"],
  );
  assert.deepEqual(sink.cursors, ["1.6.0"]);
  hub.close();
});

test("a snapshot that cannot be read ends the watcher with a sentence", async () => {
  const { hub } = setUp(3, async () => {
    throw new Error("no database");
  });
  const sink = new Sink();
  hub.watch(EVERYTHING, undefined, sink);
  await turn();
  assert.match(sink.closed ?? "", /connect again/);
  assert.equal(hub.watchers(), 0);
});

test("who loses leadership sends its watchers away", () => {
  const { hub, depose } = setUp(3);
  const sink = new Sink();
  hub.watch(EVERYTHING, "1.0.0", sink);
  depose();
  assert.match(sink.closed ?? "", /does not lead/);
  hub.close();
});

test("rights that are taken before a snapshot or figures go out count for them", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const record = (experiment: number, project: string) =>
    ({ experiment: experiment as ExperimentId, project }) as ExperimentRecord;
  const read = Promise.withResolvers<void>();
  const records = [record(1, "physics"), record(2, "chemistry")];
  const agents = [{ agent: 7 }, { agent: 8 }] as AgentRecord[];
  const snapshot = () => read.promise.then(() => ({ experiments: records, agents, complete: true }));
  const { hub, commit } = setUp(100, snapshot, (id) => records.find(({ experiment }) => experiment === id));
  const rights = (agent: number, ...projects: string[]) => ({
    projects: new Set(projects),
    experiments: new Set<ExperimentId>(),
    agents: new Set([agent as AgentId]),
    visible: { projects: new Set<string>(), experiments: new Set<string>() },
  });
  const filter: EventFilter = { ...EVERYTHING, rights: rights(7, "physics", "chemistry") };
  const sink = new Sink();
  const watcher = hub.watch(filter, undefined, sink);
  filter.rights = rights(8, "physics");
  read.resolve();
  await watcher.idle();
  assert.deepEqual(sink.snapshots[0]?.experiments, [records[0]]);
  assert.deepEqual(sink.snapshots[0]?.agents, [agents[1]]);
  filter.rights = rights(8, "physics", "chemistry");
  commit(1, [1, 2] as ExperimentId[]);
  filter.rights = rights(8, "chemistry");
  t.mock.timers.tick(PROGRESS_PERIOD_MS);
  assert.deepEqual(sink.figures, [records[1]]);
  hub.close();
});
