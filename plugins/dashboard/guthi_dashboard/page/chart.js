// A line chart over time, drawn on a canvas: a line a node, the newest at the right; the pointer asks for values.

import { make } from "./dom.js";

const SPAN_S = 600;
const BOTTOM = 20, TOP = 8, RIGHT = 4;
const HOLD_S = 3;
const MOST_TOLD = 12;
const GOLDEN_ANGLE = 137.508; // so that neighbours in the list have different colours, however many there are

export const colourOf = (index) => `oklch(63% 0.16 ${(180 + index * GOLDEN_ANGLE) % 360})`;

const percent = (value) => `${Math.round(value)} %`;

export class Chart {
  // `most` is the top of the scale; null: as high as what is shown. `write` makes a text of a value.
  constructor(title, { most = 100, write = percent } = {}) {
    this.canvas = make("canvas", { role: "img", "aria-label": title });
    this.told = make("div", { class: "told", hidden: true });
    this.element = make("div", { class: "card chart" }, make("h2", {}, title), this.canvas, this.told);
    this.lines = new Map(); // id -> {name, colour, points: [[at_s, value]]}
    this.highlighted = null;
    this.pointer = null; // where the pointer is, in pixels from the left
    this.span_s = SPAN_S;
    this.most = most;
    this.top = most ?? 1;
    this.write = write;
    this.left = most === null ? 68 : 44; // room for the longest text of the scale
    this.canvas.addEventListener("pointermove", (event) => { this.pointer = event.offsetX; this.draw(); });
    this.canvas.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  line(id, name, colour) {
    if (!this.lines.has(id)) this.lines.set(id, { name, colour, points: [] });
    return this.lines.get(id);
  }

  add(id, at_s, value) {
    const { points } = this.lines.get(id);
    if (points.length && points.at(-1)[0] >= at_s) return;
    points.push([at_s, value]);
    while (points.length > 2 && points[1][0] < at_s - SPAN_S) points.shift();
  }

  drop(ids) {
    for (const id of this.lines.keys()) if (!ids.has(id)) this.lines.delete(id);
  }

  highlight(id) {
    this.highlighted = id;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const now_s = Date.now() / 1000;
    this.#fit(now_s);
    const inside = width - this.left - RIGHT;
    const x = (at_s) => this.left + (1 - (now_s - at_s) / this.span_s) * inside;
    const y = (value) => TOP + (1 - value / this.top) * (height - TOP - BOTTOM);
    this.#axes(pen, width, height, x, y, now_s);
    for (const [id, line] of this.lines) if (id !== this.highlighted) this.#line(pen, line, x, y, now_s, 1.6, this.highlighted ? 0.2 : 1);
    const chosen = this.lines.get(this.highlighted);
    if (chosen) this.#line(pen, chosen, x, y, now_s, 3, 1);
    const at_s = now_s - (1 - ((this.pointer ?? 0) - this.left) / inside) * this.span_s;
    this.#tell(pen, this.pointer === null || at_s > now_s ? null : at_s, x, y, width, height);
  }

  // The last ten minutes, or since the first point, but a minute at least; as high as the highest point, if need be.
  #fit(now_s) {
    let first_s = now_s, highest = 1;
    for (const { points } of this.lines.values()) {
      if (points.length) first_s = Math.min(first_s, points[0][0]);
      if (this.most === null) for (const [, value] of points) highest = Math.max(highest, value);
    }
    this.span_s = Math.min(SPAN_S, Math.max(60, now_s - first_s));
    this.top = this.most ?? 2 ** Math.ceil(Math.log2(highest));
  }

  #axes(pen, width, height, x, y, now_s) {
    const style = getComputedStyle(document.documentElement);
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.fillStyle = style.getPropertyValue("--faint");
    pen.font = "11px system-ui, sans-serif";
    pen.lineWidth = 1;
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const value = share * this.top;
      pen.beginPath();
      pen.moveTo(this.left, y(value));
      pen.lineTo(width, y(value));
      pen.stroke();
      pen.fillText(this.write(value), 0, y(value) + 4);
    }
    const step_s = this.span_s > 240 ? 120 : this.span_s > 90 ? 30 : 15;
    for (let ago_s = 0; ago_s < this.span_s * 0.95; ago_s += step_s) {
      const text = ago_s === 0 ? "now" : step_s < 120 ? `-${ago_s} s` : `-${ago_s / 60} min`;
      pen.fillText(text, x(now_s - ago_s) - (ago_s ? 18 : 24), height - 5);
    }
  }

  // What is not told has not changed much: a value holds until shortly before the next one, and until now.
  #line(pen, line, x, y, now_s, thickness, opacity) {
    if (!line.points.length) return;
    pen.globalAlpha = opacity;
    pen.strokeStyle = line.colour;
    pen.lineWidth = thickness;
    pen.lineJoin = "round";
    pen.beginPath();
    const points = line.is_over ? line.points : [...line.points, [now_s, line.points.at(-1)[1]]];
    let before = null;
    for (const [at_s, value] of points) {
      const across = (moment) => Math.max(this.left, x(moment));
      if (before === null) pen.moveTo(across(at_s), y(value));
      else {
        if (at_s - before[0] > HOLD_S) pen.lineTo(across(at_s - HOLD_S), y(before[1]));
        pen.lineTo(across(at_s), y(value));
      }
      before = [at_s, value];
    }
    pen.stroke();
    pen.globalAlpha = 1;
  }

  // What the lines are where the pointer is, the highest first.
  #tell(pen, at_s, x, y, width, height) {
    this.told.hidden = at_s === null;
    if (at_s === null) return;
    const found = [...this.lines.values()].flatMap((line) => {
      const point = line.points.findLast(([moment]) => moment <= at_s);
      return point ? [{ name: line.name, colour: line.colour, value: point[1] }] : [];
    }).sort((one, other) => other.value - one.value);
    pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--faint");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x(at_s), TOP);
    pen.lineTo(x(at_s), height - BOTTOM);
    pen.stroke();
    for (const { colour, value } of found) {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x(at_s), y(value), 3, 0, 2 * Math.PI);
      pen.fill();
    }
    const rows = found.slice(0, MOST_TOLD).map(({ name, colour, value }) => {
      const sign = make("i");
      sign.style.background = colour;
      return make("div", {}, sign, make("span", {}, name), make("b", {}, this.write(value)));
    });
    if (found.length > rows.length) rows.push(make("div", { class: "faint" }, `and ${found.length - rows.length} more`));
    this.told.replaceChildren(make("div", { class: "faint" }, new Date(at_s * 1000).toLocaleTimeString([], { hour12: false })), ...rows);
    const isLeft = x(at_s) < width / 2;
    this.told.style.left = isLeft ? `${x(at_s) + 26}px` : "auto";
    this.told.style.right = isLeft ? "auto" : `${width - x(at_s) + 26}px`;
  }
}
