/**
 * Classes of equal tasks: same requirement, same project, same root. Classes that differ in the project alone form a shape:
 * placement looks at agents × shapes, and in a shape at the project that goes first, never at tasks. Within a class
 * templates stand in a heap by priority and age; within a template tasks go by index, first the range that was never
 * touched, beside it those that came back or were released by a parent.
 */
import { AHEAD_MEDIAN_MAX_MS, FAIR_SHARE_HALF_LIFE_MS } from "../../../shared/model/constants.ts";
import { type Requirement, requirementKey } from "../../../shared/model/requirement.ts";
import { TaskState } from "../../../shared/model/states.ts";
import { stateOf, type TemplateLedger } from "../ledger/ledger.ts";
import { Heap } from "./heap.ts";
import { Ordered, type Placed } from "./ordered.ts";
import { type ProjectFloor, Projects } from "./projects.ts";
import { projectFirst } from "./share.ts";

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

export interface TaskClass extends Placed {
  readonly project: ProjectFloor;
  readonly requirement: Requirement;
  /** Only agents with this output root, when set. */
  readonly root: string | null;
  readonly heap: Heap<TemplateQueue>;
  shape: Shape;
  /** Running estimate of the median run time; 0 when nothing has ended. */
  medianMs: number;
  /** Seconds that one of its tasks is expected to run, for the turn of its project. */
  expectedS: number;
  /** Monotonic ms since when others took the room that it waits for; null while it is served. */
  passedMono: number | null;
}

/** Classes that fit the same agents: one look at the shape answers for all their projects. */
export interface Shape {
  readonly requirement: Requirement;
  readonly root: string | null;
  /** Its tasks run too long to be held ahead. */
  readonly long: boolean;
  /** Those with work that no limit keeps back, by the place of their projects. */
  readonly classes: Ordered<TaskClass>;
}

/** A task is expected to run for the median, one second when that is not known, a minute at most. */
const EXPECTED_UNKNOWN_S = 1;
const EXPECTED_S_MAX = 60;

/** Order of templates: priority, then age, then place in the file. */
function before(a: TemplateQueue, b: TemplateQueue): boolean {
  const left = a.template.experiment;
  const right = b.template.experiment;
  if (left.priority !== right.priority) return left.priority > right.priority;
  if (left.id !== right.id) return left.id < right.id;
  return a.template.ordinal < b.template.ordinal;
}

export class Classes {
  private readonly projects: Projects;
  private readonly classes = new Map<string, TaskClass>();
  private readonly shapes = new Map<string, Shape>();
  private readonly queues = new Map<TemplateLedger, TemplateQueue>();
  /** Shapes with classes that may be leased. */
  readonly ready = new Set<Shape>();

  constructor(projects = new Projects(FAIR_SHARE_HALF_LIFE_MS)) {
    this.projects = projects;
  }

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
    const shape = this.shapeOf(requires, root, false);
    const key = `${project} ${root ?? ""} ${requirementKey(requires)}`;
    let known = this.classes.get(key);
    if (!known) {
      known = {
        project: this.projects.get(project),
        requirement: requires,
        root,
        heap: new Heap(before),
        shape,
        medianMs: 0,
        expectedS: EXPECTED_UNKNOWN_S,
        passedMono: null,
        place: -1,
      };
      this.classes.set(key, known);
    }
    return known;
  }

  private shapeOf(requirement: Requirement, root: string | null, long: boolean): Shape {
    const key = `${long ? "long" : ""} ${root ?? ""} ${requirementKey(requirement)}`;
    let shape = this.shapes.get(key);
    if (!shape) {
      shape = { requirement, root, long, classes: new Ordered(projectFirst) };
      this.shapes.set(key, shape);
    }
    return shape;
  }

  /** A class has work that may be leased. */
  private enter(taskClass: TaskClass): void {
    if (taskClass.place >= 0) return;
    const { project, shape } = taskClass;
    if (project.ready.size === 0) this.projects.competing++;
    project.ready.add(taskClass);
    project.blocked.delete(taskClass);
    shape.classes.add(taskClass);
    this.ready.add(shape);
  }

  /** It has none any more. */
  private leave(taskClass: TaskClass): void {
    const { project, shape } = taskClass;
    taskClass.passedMono = null;
    project.blocked.delete(taskClass);
    if (taskClass.place < 0) return;
    project.ready.delete(taskClass);
    if (project.ready.size === 0) this.projects.competing--;
    shape.classes.remove(taskClass);
    if (shape.classes.size === 0) this.ready.delete(shape);
  }

  /** A limit of its project keeps a class back. */
  block(taskClass: TaskClass): void {
    this.leave(taskClass);
    taskClass.project.blocked.add(taskClass);
  }

  /** What a limit kept back is looked at again. */
  unblock(project: ProjectFloor): void {
    for (const taskClass of project.blocked) this.enter(taskClass);
  }

  /** After the key of its project changed. */
  move(taskClass: TaskClass): void {
    const { classes } = taskClass.shape;
    if (classes.size > 1) classes.move(taskClass);
  }

  /** After all keys have changed. */
  rebuild(): void {
    for (const { classes } of this.ready) if (classes.size > 1) classes.rebuild();
  }

  /** A task of the class has run for so long. */
  observe(taskClass: TaskClass, durationMs: number): void {
    taskClass.medianMs = nextMedian(taskClass.medianMs, durationMs);
    this.expect(taskClass);
  }

  private expect(taskClass: TaskClass): void {
    const { medianMs, requirement, root, shape } = taskClass;
    if (medianMs > 0) taskClass.expectedS = Math.min(EXPECTED_S_MAX, medianMs / 1000);
    const long = medianMs > AHEAD_MEDIAN_MAX_MS;
    if (long === shape.long) return;
    const ready = taskClass.place >= 0;
    const blocked = taskClass.project.blocked.has(taskClass);
    this.leave(taskClass);
    taskClass.shape = this.shapeOf(requirement, root, long);
    if (ready) this.enter(taskClass);
    else if (blocked) taskClass.project.blocked.add(taskClass);
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
    if (!queue.class.project.blocked.has(queue.class)) this.enter(queue.class);
  }

  /** After the top of a class was used up or parked (paused): takes it out; whatever makes it ready lists it again. */
  dropTop(taskClass: TaskClass): void {
    const queue = taskClass.heap.pop();
    if (queue) queue.listed = false;
    if (taskClass.heap.size === 0) this.leave(taskClass);
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
        if (old.heap.size === 0) this.leave(old);
        queue.listed = false;
      }
      queue.class = this.classOf(template);
      if (queue.class !== old && queue.class.medianMs === 0) {
        queue.class.medianMs = old.medianMs;
        this.expect(queue.class);
      }
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

/** The estimate, a step toward the observed run time: a median, not a mean, so that one long task does not shift it. */
function nextMedian(median: number, durationMs: number): number {
  if (median === 0) return Math.max(0.1, durationMs);
  const step = Math.max(0.05, median * 0.05);
  return durationMs > median ? median + step : Math.max(0.1, median - step);
}

/** The class's median run time in whole ms, 0 when nothing of it has ended. */
export function observedMedianMs(taskClass: TaskClass): number {
  return Math.round(taskClass.medianMs);
}
