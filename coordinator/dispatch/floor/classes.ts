/**
 * Classes of equal tasks: same requirement, same project, same root. Placement looks at agents × classes, never at tasks.
 * Within a class templates stand in a heap by priority, share and age; within a template tasks go by index, first the
 * range that was never touched, beside it those that came back or were released by a parent.
 */
import { type Requirement, requirementKey } from "../../../shared/model/requirement.ts";
import { TaskState } from "../../../shared/model/states.ts";
import { stateOf, type TemplateLedger } from "../ledger/ledger.ts";
import { Heap } from "./heap.ts";

/** What may be leased of one template. Entries are hints: whoever takes one checks that the task is QUEUED and not held. */
export interface TemplateQueue {
  readonly template: TemplateLedger;
  class: TaskClass;
  /** Next index of the untouched range; `count` when it is used up. */
  cursor: number;
  /** Tasks that were queued one by one, in order. */
  again: number[];
  /** First unused position of `again`. */
  againFrom: number;
  /** It stands in its class's heap. */
  listed: boolean;
}

export interface TaskClass {
  readonly key: string;
  readonly requirement: Requirement;
  /** Only agents with this output root, when set. */
  readonly root: string | null;
  readonly heap: Heap<TemplateQueue>;
  /** Running estimate of the median run time; 0 when nothing has ended. */
  medianMs: number;
}

/** Order of templates: priority, then share (all equal until fair share exists), then age, then place in the file. */
function before(a: TemplateQueue, b: TemplateQueue): boolean {
  const left = a.template.experiment;
  const right = b.template.experiment;
  if (left.priority !== right.priority) return left.priority > right.priority;
  const share = shareOf() - shareOf();
  if (share !== 0) return share < 0;
  if (left.id !== right.id) return left.id < right.id;
  return a.template.ordinal < b.template.ordinal;
}

/** Where fair share between projects will stand: the less a project has used, the smaller its number. */
function shareOf(): number {
  return 0;
}

export class Classes {
  private readonly classes = new Map<string, TaskClass>();
  private readonly queues = new Map<TemplateLedger, TemplateQueue>();
  /** Classes whose heap is not empty. */
  readonly ready = new Set<TaskClass>();

  queueOf(template: TemplateLedger): TemplateQueue {
    let queue = this.queues.get(template);
    if (!queue) {
      queue = {
        template,
        class: this.classOf(template),
        cursor: template.count,
        again: [],
        againFrom: 0,
        listed: false,
      };
      this.queues.set(template, queue);
    }
    return queue;
  }

  private classOf(template: TemplateLedger): TaskClass {
    const { requires } = template.definition;
    const { project, rootDecided: root } = template.experiment;
    const key = `${project} ${root ?? ""} ${requirementKey(requires)}`;
    let known = this.classes.get(key);
    if (!known) {
      known = { key, requirement: requires, root, heap: new Heap(before), medianMs: 0 };
      this.classes.set(key, known);
    }
    return known;
  }

  /** All tasks of a template that are QUEUED from `from` on, unless looked at one by one when taken. */
  offerRange(template: TemplateLedger, from: number): void {
    const queue = this.queueOf(template);
    queue.cursor = from;
    this.list(queue);
  }

  offer(template: TemplateLedger, index: number): void {
    const queue = this.queueOf(template);
    queue.again.push(index);
    this.list(queue);
  }

  list(queue: TemplateQueue): void {
    if (queue.listed) return;
    queue.listed = true;
    queue.class.heap.push(queue);
    this.ready.add(queue.class);
  }

  /** After the top of a class was used up or parked (paused): takes it out; whatever makes it ready lists it again. */
  dropTop(taskClass: TaskClass): void {
    const queue = taskClass.heap.pop();
    if (queue) queue.listed = false;
    if (taskClass.heap.size === 0) this.ready.delete(taskClass);
  }

  /** After a template that was parked may be leased again (resume, a decision's commit). */
  unpark(templates: TemplateLedger[]): void {
    for (const template of templates) {
      const queue = this.queues.get(template);
      if (queue && hasMore(queue)) this.list(queue);
    }
  }

  /** After priority or root of an experiment changed: its templates stand where they now belong. */
  relist(templates: TemplateLedger[]): void {
    for (const template of templates) {
      const queue = this.queues.get(template);
      if (!queue) continue;
      const old = queue.class;
      if (queue.listed) {
        const rest = old.heap.clear();
        for (const other of rest) if (other !== queue) old.heap.push(other);
        if (old.heap.size === 0) this.ready.delete(old);
        queue.listed = false;
      }
      queue.class = this.classOf(template);
      if (queue.class !== old && queue.class.medianMs === 0) queue.class.medianMs = old.medianMs;
      if (hasMore(queue)) this.list(queue);
    }
  }

  /** Forgets an experiment that left memory. */
  forget(templates: TemplateLedger[]): void {
    for (const template of templates) {
      const queue = this.queues.get(template);
      if (!queue) continue;
      queue.cursor = template.count;
      queue.again = [];
      queue.againFrom = 0;
      this.queues.delete(template);
    }
  }

  /** Every class that ever had work, for figures. */
  all(): IterableIterator<TaskClass> {
    return this.classes.values();
  }
}

function hasMore(queue: TemplateQueue): boolean {
  return queue.cursor < queue.template.count || queue.againFrom < queue.again.length;
}

/** The next task that really can be leased, taken out of the queue; −1 when there is none. */
export function takeNext(queue: TemplateQueue, isHeld: (taskNumber: number) => boolean): number {
  const { template } = queue;
  while (queue.againFrom < queue.again.length) {
    const index = queue.again[queue.againFrom++] as number;
    if (queue.againFrom > 1024 && queue.againFrom * 2 > queue.again.length) {
      queue.again = queue.again.slice(queue.againFrom);
      queue.againFrom = 0;
    }
    if (isTakeable(template, index, isHeld)) return index;
  }
  while (queue.cursor < template.count) {
    const index = queue.cursor++;
    if (isTakeable(template, index, isHeld)) return index;
  }
  return -1;
}

function isTakeable(template: TemplateLedger, index: number, isHeld: (taskNumber: number) => boolean): boolean {
  return stateOf(template, index) === TaskState.QUEUED && !isHeld(template.base + index);
}

/** Moves the estimate a step toward the observed run time: a median, not a mean, so that one long task does not shift it. */
export function observeRunTime(taskClass: TaskClass, durationMs: number): void {
  const median = taskClass.medianMs;
  if (median === 0) {
    taskClass.medianMs = Math.max(0.1, durationMs);
    return;
  }
  const step = Math.max(0.05, median * 0.05);
  taskClass.medianMs = durationMs > median ? median + step : Math.max(0.1, median - step);
}

/** The class's median run time in whole ms, 0 when nothing of it has ended. */
export function observedMedianMs(taskClass: TaskClass): number {
  return Math.round(taskClass.medianMs);
}
