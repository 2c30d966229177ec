// Finds what is where, without looking at all of it: cells of a grid, and a list of what is too large for them.

import { boxOf, overlaps } from "./geometry.js";
import { before } from "./board.js";

const CELL = 4096, MOST_CELLS = 64;

export class Grid {
  constructor() {
    this.cells = new Map();
    this.large = new Set();
    this.count = 0;
  }

  add(entry) {
    entry.box = boxOf(entry.shown);
    this.count += 1;
    const keys = cellsOf(entry.box);
    entry.cells = keys;
    if (keys === null) this.large.add(entry);
    else for (const key of keys) {
      const cell = this.cells.get(key);
      if (cell === undefined) this.cells.set(key, new Set([entry]));
      else cell.add(entry);
    }
  }

  remove(entry) {
    this.count -= 1;
    if (entry.cells === null) this.large.delete(entry);
    else for (const key of entry.cells) this.cells.get(key)?.delete(entry);
  }

  // What overlaps a box, the lowest first; `all` are all entries in that order.
  within(box, all) {
    const keys = cellsOf(box, this.cells.size);
    if (keys === null) return all.filter((entry) => entry.shown !== null && overlaps(entry.box, box));
    const found = new Set();
    for (const entry of this.large) if (overlaps(entry.box, box)) found.add(entry);
    for (const key of keys)
      for (const entry of this.cells.get(key) ?? []) if (overlaps(entry.box, box)) found.add(entry);
    return [...found].sort((a, b) => before(a.birth, b.birth) ? -1 : 1);
  }
}

// Null: too many to be worth it.
function cellsOf([left, top, right, bottom], most = MOST_CELLS) {
  const fromX = Math.floor(left / CELL), toX = Math.floor(right / CELL);
  const fromY = Math.floor(top / CELL), toY = Math.floor(bottom / CELL);
  if ((toX - fromX + 1) * (toY - fromY + 1) > Math.max(most, MOST_CELLS)) return null;
  const keys = [];
  for (let x = fromX; x <= toX; x += 1) for (let y = fromY; y <= toY; y += 1) keys.push(`${x},${y}`);
  return keys;
}
