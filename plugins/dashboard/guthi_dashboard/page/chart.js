// A line chart of shares over time, drawn on a canvas: a line a node, the newest at the right.

import { make } from "./dom.js";

const SPAN_S = 600;
const LEFT = 40, BOTTOM = 20, TOP = 8;
const HOLD_S = 3;
const GOLDEN_ANGLE = 137.508; // so that neighbours in the list have different colours, however many there are

export const colourOf = (index) => `hsl(${(168 + index * GOLDEN_ANGLE) % 360} 62% 48%)`;

export class Chart {
  constructor(title) {
    this.canvas = make("canvas", { role: "img", "aria-label": title });
    this.element = make("div", { class: "card" }, make("h2", {}, title), this.canvas);
    this.lines = new Map(); // id -> {name, colour, points: [[at_s, percent]]}
    this.highlighted = null;
    this.span_s = SPAN_S;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  line(id, name, colour) {
    if (!this.lines.has(id)) this.lines.set(id, { name, colour, points: [] });
    return this.lines.get(id);
  }

  add(id, at_s, percent) {
    const { points } = this.lines.get(id);
    if (points.length && points.at(-1)[0] >= at_s) return;
    points.push([at_s, percent]);
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
    const x = (at_s) => LEFT + (1 - (now_s - at_s) / this.span_s) * (width - LEFT - 4);
    const y = (percent) => TOP + (1 - percent / 100) * (height - TOP - BOTTOM);
    this.#axes(pen, width, height, x, y, now_s);
    for (const [id, line] of this.lines) if (id !== this.highlighted) this.#line(pen, line, x, y, now_s, 1.4, this.highlighted ? 0.25 : 1);
    const chosen = this.lines.get(this.highlighted);
    if (chosen) this.#line(pen, chosen, x, y, now_s, 3, 1);
  }

  // The last ten minutes, or since the first point, but a minute at least.
  #fit(now_s) {
    const first_s = Math.min(now_s, ...[...this.lines.values()].map((line) => line.points[0]?.[0] ?? now_s));
    this.span_s = Math.min(SPAN_S, Math.max(60, now_s - first_s));
  }

  #axes(pen, width, height, x, y, now_s) {
    const style = getComputedStyle(document.documentElement);
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.fillStyle = style.getPropertyValue("--faint");
    pen.font = "11px system-ui, sans-serif";
    pen.lineWidth = 1;
    for (const percent of [0, 25, 50, 75, 100]) {
      pen.beginPath();
      pen.moveTo(LEFT, y(percent));
      pen.lineTo(width, y(percent));
      pen.stroke();
      pen.fillText(`${percent} %`, 2, y(percent) + 4);
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
    pen.beginPath();
    const points = line.is_over ? line.points : [...line.points, [now_s, line.points.at(-1)[1]]];
    let before = null;
    for (const [at_s, percent] of points) {
      const across = (moment) => Math.max(LEFT, x(moment));
      if (before === null) pen.moveTo(across(at_s), y(percent));
      else {
        if (at_s - before[0] > HOLD_S) pen.lineTo(across(at_s - HOLD_S), y(before[1]));
        pen.lineTo(across(at_s), y(percent));
      }
      before = [at_s, percent];
    }
    pen.stroke();
    pen.globalAlpha = 1;
  }
}
