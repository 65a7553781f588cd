/**
 * The newest events, for watchers that come back. Bounded in events and in tasks they name; a cursor that points before
 * what is kept, or into another history, is `undefined` and its holder gets a snapshot instead. Positions count events of
 * this reign from 0 and are never reused within it.
 */
import { EVENT_RING_MAX, EVENT_RING_TASKS_MAX } from "../../../shared/model/constants.ts";
import { type DispatchEvent, weightOf } from "./event.ts";

export interface Cursor {
  timeline: number;
  seq: number;
  /** Events of the same seq that follow. */
  after: number;
}

interface Slot {
  seq: number;
  after: number;
  event: DispatchEvent;
}

export function cursorText(cursor: Cursor): string {
  return `${cursor.timeline}.${cursor.seq}.${cursor.after}`;
}

/** The reverse of `cursorText`; undefined when the text is no cursor. */
export function parseCursor(text: string): Cursor | undefined {
  const match = /^(\d{1,15})\.(\d{1,15})\.(\d{1,9})$/.exec(text);
  if (!match) return undefined;
  return { timeline: Number(match[1]), seq: Number(match[2]), after: Number(match[3]) };
}

export class EventRing {
  private readonly eventsMax: number;
  private readonly tasksMax: number;
  private slots: Slot[] = [];
  /** Where in `slots` the oldest kept event stands; what is before it was dropped and waits to be cut off. */
  private start = 0;
  /** Position of `slots[0]`. */
  private offset = 0;
  private timeline = 0;
  /** The newest event that is not kept; when a reign begins, the end of its first seq. */
  private lost: Omit<Cursor, "timeline"> = { seq: 0, after: 0 };
  /** Newest seq seen, with or without events. */
  private headSeq = 0;
  private tasks = 0;

  constructor(eventsMax: number = EVENT_RING_MAX, tasksMax: number = EVENT_RING_TASKS_MAX) {
    this.eventsMax = eventsMax;
    this.tasksMax = tasksMax;
  }

  /** A new reign begins after `seq`; nothing of an earlier one is kept, because another dispatcher may have been between. */
  reset(timeline: number, seq: number): void {
    this.offset = this.head;
    this.slots = [];
    this.start = 0;
    this.timeline = timeline;
    this.lost = { seq, after: 0 };
    this.headSeq = seq;
    this.tasks = 0;
  }

  append(seq: number, events: readonly DispatchEvent[]): void {
    this.headSeq = seq;
    events.forEach((event, i) => {
      this.slots.push({ seq, after: events.length - 1 - i, event });
      this.tasks += weightOf(event);
    });
    // The newest event stays whatever it weighs.
    while (this.kept > this.eventsMax || (this.tasks > this.tasksMax && this.kept > 1)) {
      const { seq, after, event } = this.slots[this.start]!;
      this.lost = { seq, after };
      this.tasks -= weightOf(event);
      this.start++;
    }
    // Cutting off half at a time makes a drop cheap on average.
    if (this.start > this.slots.length / 2) {
      this.slots.splice(0, this.start);
      this.offset += this.start;
      this.start = 0;
    }
  }

  private get kept(): number {
    return this.slots.length - this.start;
  }

  /** Position after the newest event. */
  get head(): number {
    return this.offset + this.slots.length;
  }

  /** Cursor that stands for everything so far. */
  headCursor(): Cursor {
    return { timeline: this.timeline, seq: this.headSeq, after: 0 };
  }

  /** The event at a position; undefined when it is not (or no longer) kept. */
  at(position: number): { event: DispatchEvent; cursor: Cursor } | undefined {
    const at = position - this.offset;
    const slot = at < this.start ? undefined : this.slots[at];
    return slot && { event: slot.event, cursor: { timeline: this.timeline, seq: slot.seq, after: slot.after } };
  }

  /** Position of the first event after the cursor; undefined when events between may be missing. */
  positionAfter(cursor: Cursor): number | undefined {
    if (cursor.timeline !== this.timeline || cursor.seq > this.headSeq || !this.reaches(cursor)) return undefined;
    let low = this.start;
    let high = this.slots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const slot = this.slots[middle]!;
      if (slot.seq < cursor.seq || (slot.seq === cursor.seq && slot.after >= cursor.after)) low = middle + 1;
      else high = middle;
    }
    return this.offset + low;
  }

  /** Whether the cursor stands at or after the newest event that is not kept. */
  private reaches({ seq, after }: Cursor): boolean {
    return seq > this.lost.seq || (seq === this.lost.seq && after <= this.lost.after);
  }
}
