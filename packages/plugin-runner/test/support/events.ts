/** A list that can be waited on: what was added already, and what will be. */
export class EventLog<T> {
  #items: { item: T; taken: boolean }[] = [];
  #waiting: { matches: (item: T) => boolean; resolve: (item: T) => void }[] = [];

  /** Everything so far, in order. */
  get all(): T[] {
    return this.#items.map(({ item }) => item);
  }

  add(item: T): void {
    const index = this.#waiting.findIndex(({ matches }) => matches(item));
    this.#items.push({ item, taken: index !== -1 });
    if (index !== -1) this.#waiting.splice(index, 1)[0]?.resolve(item);
  }

  /** The first item that matches and was not given out before. */
  next(matches: (item: T) => boolean): Promise<T> {
    const found = this.#items.find(({ item, taken }) => !taken && matches(item));
    if (found !== undefined) {
      found.taken = true;
      return Promise.resolve(found.item);
    }
    return new Promise((resolve) => {
      this.#waiting.push({ matches, resolve });
    });
  }
}
