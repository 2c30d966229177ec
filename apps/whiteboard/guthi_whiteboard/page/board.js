// What is on the board: the same merge as board.py, so that this page shows without waiting what every node will agree
// on. Of two operations on an object the one with the later stamp wins; a clear hides what it has seen, while it is there.

export const before = (a, b) => a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1];
export const keyOf = (stamp) => `${stamp[0]}.${stamp[1]}`;

export class Board {
  // `onchange(entry, was, is)` is told which value of an entry was to be seen and which is; `onmany()` of too much.
  constructor(onchange, onmany) {
    this.onchange = onchange;
    this.onmany = onmany;
    this.entries = new Map();
    this.order = [];
    this.isSorted = true;
    this.time = 0;
    this.clears = new Map();
    this.horizon = new Map();
    this.shown = 0;
  }

  get(stamp) {
    return this.entries.get(keyOf(stamp));
  }

  // The entry that is different now; null: nothing is.
  apply([time, author, birthTime, birthAuthor, value]) {
    this.time = Math.max(this.time, time);
    const stamp = [time, author], birth = [birthTime, birthAuthor], key = keyOf(birth);
    let entry = this.entries.get(key);
    if (entry === undefined) {
      entry = { key, birth, stamp, value: null, shown: null, lifted: false };
      this.entries.set(key, entry);
      if (this.order.length && before(birth, this.order[this.order.length - 1].birth)) this.isSorted = false;
      this.order.push(entry);
    } else if (!before(entry.stamp, stamp)) {
      if (before(stamp, entry.stamp) || text(entry.value) >= text(value)) return null;
    }
    entry.stamp = stamp;
    entry.value = value;
    if (value?.kind === "clear" || this.clears.has(key)) this.#clear(key, value);
    else this.#show(entry, true);
    return entry;
  }

  // Take back something new that no node has taken; false: there was more to it.
  forget(birth) {
    const entry = this.get(birth);
    if (entry === undefined) return true;
    if (before(entry.birth, entry.stamp) || entry.value?.kind === "clear") return false;
    entry.value = null;
    this.#show(entry, true);
    this.entries.delete(entry.key);
    this.order.splice(this.order.lastIndexOf(entry), 1);
    this.time = 0;
    for (const { stamp: [time] } of this.order) if (time > this.time) this.time = time;
    return true;
  }

  #clear(key, value) {
    this.clears.delete(key);
    if (value !== null) this.clears.set(key, value.seen);
    this.horizon = new Map();
    for (const seen of this.clears.values())
      for (const [author, time] of Object.entries(seen))
        this.horizon.set(author, Math.max(time, this.horizon.get(author) ?? 0));
    for (const entry of this.entries.values()) this.#show(entry, false);
    this.onmany();
  }

  #show(entry, isAlone) {
    const isHidden = entry.stamp[0] <= (this.horizon.get(entry.stamp[1]) ?? 0);
    const is = entry.value === null || entry.value.kind === "clear" || isHidden ? null : entry.value;
    const was = entry.shown;
    if (was === is) return;
    entry.shown = is;
    this.shown += (is !== null) - (was !== null);
    this.onchange(entry, was, is, isAlone);
  }

  // All entries, the lowest first.
  sorted() {
    if (!this.isSorted) {
      this.order.sort((a, b) => before(a.birth, b.birth) ? -1 : 1);
      this.isSorted = true;
    }
    return this.order;
  }

  visible() {
    return this.sorted().filter((entry) => entry.shown !== null);
  }

  // What a clear has to say: of each author the last that is to be seen, in parts that are not too long.
  seen(most = 300) {
    const all = new Map();
    for (const { shown, stamp: [time, author] } of this.entries.values())
      if (shown !== null) all.set(author, Math.max(time, all.get(author) ?? 0));
    const authors = [...all], parts = [];
    for (let start = 0; start < authors.length; start += most)
      parts.push(Object.fromEntries(authors.slice(start, start + most)));
    return parts;
  }
}

const text = (value) => value === null ? "" : JSON.stringify(value);
