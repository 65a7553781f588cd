/**
 * Brings committed batches to watchers. A watcher is a position in the ring: it is served while its socket takes what is
 * sent, waits where it is when the socket does not, and gets a snapshot when the ring went on without it. So nothing is
 * kept per watcher but a number, and nobody slow holds anybody up.
 */

import { AiravataError } from "../../../shared/error/error.ts";
import type { Logger } from "../../../shared/log/log.ts";
import { PROGRESS_PERIOD_MS, WATCHERS_MAX } from "../../../shared/model/constants.ts";
import type { ExperimentId } from "../../../shared/model/ids.ts";
import type { Committed, Dispatcher } from "../../dispatch/contract.ts";
import type { AgentRecord } from "../agent/record.ts";
import type { ExperimentRecord } from "../experiment/record.ts";
import { type DispatchEvent, type EventFilter, eventsOf, wants, wantsExperiment } from "./event.ts";
import { type Cursor, cursorText, EventRing, parseCursor } from "./ring.ts";

/** The socket of a watcher. */
export interface WatcherSink {
  subscribed(cursor: string): void;
  event(cursor: string, event: DispatchEvent): void;
  snapshot(snapshot: Snapshot): void;
  progress(cursor: string, experiments: ExperimentRecord[]): void;
  /** False while more waits to be sent than the bound; then the owner calls `pump` once it is less. */
  ready(): boolean;
  close(reason: string): void;
}

export interface Snapshot {
  cursor: string;
  reason: string;
  experiments: ExperimentRecord[];
  agents: AgentRecord[];
  complete: boolean;
}

export interface Watcher {
  /** Sends what the watcher has not had yet. */
  pump(): void;
  stop(): void;
  /** Resolves when no snapshot is being read for it. */
  idle(): Promise<void>;
}

/** The experiments that a snapshot names, newest first, and the agents. */
export type SnapshotSource = (
  filter: EventFilter,
) => Promise<{ experiments: ExperimentRecord[]; agents: AgentRecord[]; complete: boolean }>;

export interface EventHub {
  /** Throws `too_many_connections`. */
  watch(filter: EventFilter, cursor: string | undefined, sink: WatcherSink): Watcher;
  watchers(): number;
  close(): void;
}

interface HubOptions {
  dispatcher: Dispatcher;
  log: Logger;
  snapshot: SnapshotSource;
  /** The current state of an experiment in memory. */
  record(experiment: ExperimentId): ExperimentRecord | undefined;
  ring?: EventRing;
}

/** Experiments whose names are kept: some kilobytes each. */
const NAMES_MAX = 1_000;

export function createEventHub(options: HubOptions): EventHub {
  const { dispatcher } = options;
  const ring = options.ring ?? new EventRing();
  const watchers = new Set<RingWatcher>();
  let progressTimer: NodeJS.Timeout | undefined;

  // A definition never changes; looking at it anew for every record would cost its number of templates each time.
  const names = new Map<ExperimentId, { project: string; templates: string[] }>();
  const namesOf = (experiment: ExperimentId) => {
    let known = names.get(experiment);
    if (known) return known;
    const definition = dispatcher.experiment(experiment)?.definition;
    if (!definition) return undefined;
    known = { project: definition.project, templates: definition.templates.map(({ name }) => name) };
    names.set(experiment, known);
    if (names.size > NAMES_MAX) names.delete(names.keys().next().value as ExperimentId);
    return known;
  };

  const tellProgress = (): void => {
    progressTimer = undefined;
    let waiting = false;
    for (const watcher of watchers) waiting = !watcher.tellProgress(options.record) || waiting;
    // A watcher that could not take it now is asked again: the newest figures, not a queue of old ones.
    if (waiting) progressTimer = setTimeout(tellProgress, PROGRESS_PERIOD_MS);
  };

  const publish = (committed: Committed): void => {
    ring.append(committed.batch.seq, eventsOf(committed.batch, namesOf));
    if (watchers.size === 0) return;
    for (const watcher of watchers) {
      watcher.pump();
      for (const experiment of committed.changed) {
        watcher.changed(experiment, namesOf(experiment)?.project ?? "");
      }
    }
    progressTimer ??= setTimeout(tellProgress, PROGRESS_PERIOD_MS);
  };

  const unsubscribe = dispatcher.subscribe(publish);
  const begin = (): void => {
    const { leading, timeline, seq } = dispatcher.leadership();
    if (leading) ring.reset(timeline, seq);
    else for (const watcher of [...watchers]) watcher.end("this coordinator does not lead; connect again");
  };
  begin();
  const unlisten = dispatcher.onLeadership(begin);

  return {
    watchers: () => watchers.size,
    watch(filter, cursor, sink) {
      if (watchers.size >= WATCHERS_MAX) {
        throw new AiravataError("too_many_connections", `${WATCHERS_MAX} watchers are connected, which is the bound`);
      }
      const watcher = new RingWatcher(ring, filter, sink, options, () => watchers.delete(watcher));
      watchers.add(watcher);
      watcher.begin(cursor === undefined ? undefined : parseCursor(cursor));
      return watcher;
    },
    close() {
      unsubscribe();
      unlisten();
      clearTimeout(progressTimer);
      for (const watcher of [...watchers]) watcher.end("the coordinator is shutting down");
    },
  };
}

class RingWatcher implements Watcher {
  private readonly ring: EventRing;
  private readonly filter: EventFilter;
  private readonly sink: WatcherSink;
  private readonly options: HubOptions;
  private readonly forget: () => void;
  private readonly dirty = new Set<ExperimentId>();
  private position = 0;
  /** Set while a snapshot is being read; nothing else is sent before it. */
  private reading = false;
  private read: Promise<void> = Promise.resolve();
  private over = false;

  constructor(ring: EventRing, filter: EventFilter, sink: WatcherSink, options: HubOptions, forget: () => void) {
    this.ring = ring;
    this.filter = filter;
    this.sink = sink;
    this.options = options;
    this.forget = forget;
  }

  begin(cursor: Cursor | undefined): void {
    const position = cursor && this.ring.positionAfter(cursor);
    this.sink.subscribed(cursorText(position === undefined || !cursor ? this.ring.headCursor() : cursor));
    if (position === undefined) {
      this.read = this.catchUp(cursor ? "the cursor is older than the events that are kept" : "no cursor was given");
      return;
    }
    this.position = position;
    this.pump();
  }

  pump(): void {
    while (!this.over && !this.reading && this.position < this.ring.head && this.sink.ready()) {
      const slot = this.ring.at(this.position);
      if (slot === undefined) {
        this.read = this.catchUp("events came faster than they were taken");
        return;
      }
      this.position++;
      if (wants(this.filter, slot.event)) this.sink.event(cursorText(slot.cursor), slot.event);
    }
  }

  /** The state as it is now, in place of the events that are missing. Events from here on may repeat what it shows. */
  private async catchUp(reason: string): Promise<void> {
    this.reading = true;
    this.position = this.ring.head;
    const cursor = cursorText(this.ring.headCursor());
    try {
      const { experiments, agents, complete } = await this.options.snapshot(this.filter);
      if (this.over) return;
      // Rights may have been taken while it was read.
      const seen = this.wanted(experiments);
      this.sink.snapshot({ cursor, reason, experiments: seen, agents: agents.filter(this.seesAgent), complete });
      this.reading = false;
      this.pump();
    } catch (error) {
      this.options.log.warn("a watcher's snapshot could not be read", { error });
      this.end("the state could not be read; connect again");
    }
  }

  changed(experiment: ExperimentId, project: string): void {
    if (wantsExperiment(this.filter, experiment, project)) this.dirty.add(experiment);
  }

  /** False when it could not be sent now. */
  tellProgress(record: HubOptions["record"]): boolean {
    if (this.over || this.dirty.size === 0) return true;
    // Only what has had all events may see figures that include them.
    if (this.reading || this.position < this.ring.head || !this.sink.ready()) return false;
    const experiments = this.wanted([...this.dirty].flatMap((id) => record(id) ?? []));
    this.dirty.clear();
    if (experiments.length > 0) this.sink.progress(cursorText(this.ring.headCursor()), experiments);
    return true;
  }

  /** By what the watcher may see at this moment. */
  private wanted(experiments: ExperimentRecord[]): ExperimentRecord[] {
    return experiments.filter(({ experiment, project }) => wantsExperiment(this.filter, experiment, project));
  }

  private readonly seesAgent = ({ agent }: AgentRecord): boolean => {
    const seen = this.filter.rights?.agents ?? null;
    return seen === null || seen.has(agent);
  };

  idle(): Promise<void> {
    return this.read;
  }

  end(reason: string): void {
    if (this.over) return;
    this.stop();
    this.sink.close(reason);
  }

  stop(): void {
    this.over = true;
    this.forget();
  }
}
