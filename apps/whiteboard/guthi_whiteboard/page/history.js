// What this page can take back: its own deeds, each a group of changes. What somebody else has changed since is left.

import { keyOf } from "./board.js";

const MOST = 500;

export class History {
  // `write(changes)` puts changes on the board, and returns them with the births that they got.
  constructor(board, me, write, onchange) {
    Object.assign(this, { board, me, write, onchange });
    this.undone = [];
    this.done = [];
  }

  did(changes) {
    this.done.push(changes);
    if (this.done.length > MOST) this.done.shift();
    this.undone = [];
    this.onchange();
  }

  undo() {
    return this.#go(this.done, this.undone, (change) => change.before);
  }

  redo() {
    return this.#go(this.undone, this.done, (change) => change.after);
  }

  // False where others have changed all of it meanwhile.
  #go(from, to, value) {
    const group = from.pop();
    if (group === undefined) return true;
    const own = group.filter(({ birth }) => this.board.entries.get(keyOf(birth))?.stamp[1] === this.me);
    if (own.length) {
      this.write(own.map((change) => ({ birth: change.birth, after: value(change) })));
      to.push(own);
    }
    this.onchange();
    return own.length > 0;
  }
}
