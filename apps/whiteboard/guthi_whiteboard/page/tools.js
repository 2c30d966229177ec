// What a hand does with each tool, from where it touches the board to where it leaves it. A tool has begin, move, end and
// cancel, and `draft`, which is painted above the board and shown to others. Places are units of the board.

import { asSteps, contains, moved, simplified } from "./geometry.js";

const MOST_POINTS = 500, HIT_PIXELS = 7, MIN_STEP_PIXELS = 0.8;
export const WIDTHS = [20, 40, 80, 160];
export const SIZES = [160, 240, 400, 720];
const HIGHLIGHTER = 6;
const MOST_CARRIED = 3000; // of more only the frame is seen to move

const whole = (number) => Math.round(Math.max(-1e9, Math.min(1e9, number)));

// Pen and highlighter: points as they come, fewer of them in the end.
export class Stroke {
  constructor(app, kind) {
    Object.assign(this, { app, kind, draft: null });
  }

  begin(point) {
    const { style } = this.app;
    this.parts = [];
    this.width = WIDTHS[style.width] * (this.kind === "highlighter" ? HIGHLIGHTER : 1);
    this.#start(point);
  }

  #start({ x, y, pressure }) {
    this.places = [whole(x), whole(y)];
    this.pressures = [pressure];
    this.#show();
  }

  move(point) {
    const x = whole(point.x), y = whole(point.y), last = this.places.length - 2;
    const far = Math.hypot(x - this.places[last], y - this.places[last + 1]);
    if (far * this.app.camera.scale < MIN_STEP_PIXELS) return;
    const pressure = point.pressure ?? this.pressures.at(-1); // some pens say now and then that they do not press
    this.places.push(x, y);
    this.pressures.push(pressure);
    if (this.places.length / 2 >= MOST_POINTS) {
      this.parts.push(this.#value());
      this.#start({ ...point, pressure });
    } else this.#show();
  }

  // As it is, not yet simplified, so that it does not twitch.
  #show() {
    const { colour } = this.app.style;
    this.draft = { kind: this.kind, colour, width: this.width, points: asSteps(this.places) };
    if (this.#isPressed) this.draft.pressure = this.pressures;
  }

  get #isPressed() {
    return this.kind === "pen" && this.pressures[0] !== null;
  }

  #value() {
    const tolerance = Math.min(0.35 / this.app.camera.scale, this.width / 6);
    const kept = this.#isPressed ? [...this.pressures.keys()] : simplified(this.places, tolerance);
    const places = kept.flatMap((i) => [this.places[2 * i], this.places[2 * i + 1]]);
    const value = { kind: this.kind, colour: this.app.style.colour, width: this.width, points: asSteps(places) };
    if (this.#isPressed) value.pressure = kept.map((i) => this.pressures[i]);
    return value;
  }

  end() {
    const values = [...this.parts, this.#value()];
    this.cancel();
    this.app.commit(values.map((after) => ({ after })));
  }

  cancel() {
    this.draft = null;
    this.parts = [];
  }

  // Parts of a long stroke that are not on the board yet.
  get finished() {
    return this.parts ?? [];
  }
}

// Line, arrow, rectangle and ellipse: from one corner to the other; Shift makes them even.
export class Shape {
  constructor(app, kind) {
    Object.assign(this, { app, kind, draft: null });
  }

  begin({ x, y }) {
    this.from = [x, y];
  }

  move({ x, y, shift }) {
    const { colour, width, fill } = this.app.style;
    let dx = x - this.from[0], dy = y - this.from[1];
    const isLine = this.kind === "line" || this.kind === "arrow";
    if (shift && isLine) {
      const angle = Math.round(Math.atan2(dy, dx) / (Math.PI / 12)) * (Math.PI / 12), far = Math.hypot(dx, dy);
      [dx, dy] = [far * Math.cos(angle), far * Math.sin(angle)];
    } else if (shift) {
      const side = Math.max(Math.abs(dx), Math.abs(dy));
      [dx, dy] = [side * (dx < 0 ? -1 : 1), side * (dy < 0 ? -1 : 1)];
    }
    const [left, top] = this.from, common = { kind: this.kind, colour, width: WIDTHS[width] };
    this.draft = isLine
      ? { ...common, ends: [left, top, left + dx, top + dy].map(whole) }
      : { ...common, fill, box: [Math.min(left, left + dx), Math.min(top, top + dy), Math.abs(dx), Math.abs(dy)].map(whole) };
  }

  end() {
    const value = this.draft;
    this.cancel();
    if (!value) return;
    const [width, height] = value.box ? value.box.slice(2) : [value.ends[2] - value.ends[0], value.ends[3] - value.ends[1]];
    if (Math.hypot(width, height) * this.app.camera.scale < 4) return; // a click, not a shape
    this.app.commit([{ after: value }]);
    this.app.choose("select", this.app.lastMade);
  }

  cancel() {
    this.draft = null;
  }
}

// Takes away whole objects that it touches.
export class Eraser {
  constructor(app) {
    Object.assign(this, { app, draft: null, taken: new Set() });
  }

  begin(point) {
    this.last = point;
    this.move(point);
  }

  move(point) {
    const reach = HIT_PIXELS / this.app.camera.scale;
    const steps = Math.max(1, Math.ceil(Math.hypot(point.x - this.last.x, point.y - this.last.y) / reach));
    for (let i = 1; i <= steps; i += 1) {
      const x = this.last.x + (point.x - this.last.x) * i / steps, y = this.last.y + (point.y - this.last.y) * i / steps;
      for (const entry of this.app.at(x, y, reach)) {
        if (this.taken.has(entry)) continue;
        this.taken.add(entry);
        this.app.lift([entry], true);
      }
    }
    this.last = point;
  }

  end() {
    const taken = [...this.taken].filter((entry) => entry.shown !== null);
    const changes = taken.map((entry) => ({ birth: entry.birth, before: entry.shown, after: null }));
    this.app.commit(changes);
    this.cancel();
  }

  cancel() {
    this.app.lift([...this.taken], false);
    this.taken = new Set();
  }
}

// Selects what is clicked, or within a frame, and moves it.
export class Select {
  constructor(app) {
    Object.assign(this, { app, draft: null, frame: null, shift: null });
  }

  begin(point) {
    const { app } = this, hit = app.at(point.x, point.y, HIT_PIXELS / app.camera.scale).pop();
    this.from = point;
    this.frame = null;
    this.shift = null;
    const box = app.selectionBox();
    const isInside = box && contains(box, [point.x, point.y, point.x, point.y]);
    if (!hit && !(isInside && !point.shift)) {
      if (!point.shift) app.select([]);
      this.frame = [point.x, point.y, point.x, point.y];
      this.before = new Set(app.selection);
      return;
    }
    if (hit && point.shift && app.selection.has(hit)) app.select([...app.selection].filter((entry) => entry !== hit));
    else if (hit && !app.selection.has(hit) && !(isInside && !point.shift && app.selection.size > 1)) app.select(point.shift ? [...app.selection, hit] : [hit]);
    this.shift = [0, 0];
  }

  move(point) {
    if (this.frame) {
      const [x, y] = [this.from.x, this.from.y];
      this.frame = [Math.min(x, point.x), Math.min(y, point.y), Math.max(x, point.x), Math.max(y, point.y)];
      const found = this.app.grid.within(this.frame, this.app.board.sorted()).filter((entry) => contains(this.frame, entry.box));
      this.app.select([...this.before, ...found]);
    } else if (this.shift) {
      const isMoved = this.shift[0] || this.shift[1];
      if (!isMoved && Math.hypot(point.x - this.from.x, point.y - this.from.y) * this.app.camera.scale < 3) return;
      this.shift = [whole(point.x - this.from.x), whole(point.y - this.from.y)];
      this.app.lift([...this.app.selection], true);
    }
  }

  end() {
    const { app } = this;
    if (this.shift && (this.shift[0] || this.shift[1])) app.moveSelection(...this.shift);
    this.cancel();
  }

  cancel() {
    this.app.lift([...this.app.selection], false);
    this.frame = null;
    this.shift = null;
  }

  // What is being moved, where it will be.
  get carried() {
    if (!this.shift || !(this.shift[0] || this.shift[1]) || this.app.selection.size > MOST_CARRIED) return [];
    return [...this.app.selection].filter((entry) => entry.shown).map((entry) => moved(entry.shown, ...this.shift));
  }
}

// Moves the paper.
export class Hand {
  constructor(app) {
    Object.assign(this, { app, draft: null });
  }

  begin(point) {
    this.last = point;
  }

  move(point) {
    this.app.camera.pan(point.screenX - this.last.screenX, point.screenY - this.last.screenY);
    this.last = point;
  }

  end() {}

  cancel() {}
}

// Begins to write where it touches.
export class Text {
  constructor(app) {
    Object.assign(this, { app, draft: null });
  }

  begin() {}

  move() {}

  end(point) {
    const hit = this.app.at(point.x, point.y, 0).reverse().find((entry) => entry.shown.kind === "text");
    this.app.write(point, hit);
  }

  cancel() {}
}

// A box around all of them, which may be very many, for each frame; null: nothing is to be seen.
export function frameOf(entries) {
  let frame = null;
  for (const { shown, box } of entries) {
    if (shown === null) continue;
    frame ??= [...box];
    if (box[0] < frame[0]) frame[0] = box[0];
    if (box[1] < frame[1]) frame[1] = box[1];
    if (box[2] > frame[2]) frame[2] = box[2];
    if (box[3] > frame[3]) frame[3] = box[3];
  }
  return frame;
}
