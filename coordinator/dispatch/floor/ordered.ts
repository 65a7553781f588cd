/**
 * A binary heap whose entries can be moved and taken out: the smallest by `before` on top, and each entry knows its place
 * (−1 while it stands in none), so that a change of one costs the height of the tree.
 */
export interface Placed {
  place: number;
}

export class Ordered<T extends Placed> {
  private readonly items: T[] = [];
  private readonly before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.before = before;
  }

  get size(): number {
    return this.items.length;
  }

  top(): T | undefined {
    return this.items[0];
  }

  /** The one that would be on top without the top. */
  second(): T | undefined {
    const [, left, right] = this.items;
    return left && right && this.before(right, left) ? right : left;
  }

  add(item: T): void {
    item.place = this.items.length;
    this.items.push(item);
    this.rise(item);
  }

  remove(item: T): void {
    const { place } = item;
    const last = this.items.pop() as T;
    item.place = -1;
    if (last === item) return;
    last.place = place;
    this.items[place] = last;
    this.move(last);
  }

  /** After what `before` looks at has changed. */
  move(item: T): void {
    if (!this.rise(item)) this.sink(item);
  }

  /** After it has changed for many. */
  rebuild(): void {
    for (let i = (this.items.length >> 1) - 1; i >= 0; i--) this.sink(this.items[i] as T);
  }

  private rise(item: T): boolean {
    const { items } = this;
    const from = item.place;
    let hole = from;
    while (hole > 0) {
      const above = items[(hole - 1) >> 1] as T;
      if (!this.before(item, above)) break;
      this.put(above, hole);
      hole = (hole - 1) >> 1;
    }
    this.put(item, hole);
    return hole !== from;
  }

  private sink(item: T): void {
    const { items } = this;
    let hole = item.place;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.before(items[child + 1] as T, items[child] as T)) child++;
      const below = items[child] as T;
      if (!this.before(below, item)) break;
      this.put(below, hole);
      hole = child;
    }
    this.put(item, hole);
  }

  private put(item: T, place: number): void {
    item.place = place;
    this.items[place] = item;
  }
}
