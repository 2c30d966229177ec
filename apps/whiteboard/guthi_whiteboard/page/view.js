// Paints what is seen, when something has changed: the paper with its pieces, and above it what moves.

import { paint, paperOf } from "./paint.js";
import { boxOf } from "./geometry.js";
import { Tiles } from "./tiles.js";
import { place } from "./dom.js";

const DOTS = 240, CLOSEST_DOTS = 16, WORK_MS = 9, IDLE_WORK_MS = 45, SETTLE_MS = 140, IDLE_MS = 300;

export class View {
  constructor(camera, within, isDark, paintAbove) {
    Object.assign(this, { camera, isDark, paintAbove });
    this.tiles = new Tiles(within, isDark);
    this.paper = place("paper").getContext("2d", { alpha: false });
    this.above = place("above").getContext("2d");
    this.isAsked = false;
    this.isPaused = false;
    this.usedAt = 0; // when a hand was last at it: then a frame must be quick
    this.isSettled = false;
    addEventListener("resize", () => this.#resize());
    this.#resize();
  }

  #resize() {
    this.density = devicePixelRatio || 1;
    for (const { canvas } of [this.paper, this.above]) {
      canvas.width = Math.round(innerWidth * this.density);
      canvas.height = Math.round(innerHeight * this.density);
    }
    this.wake();
  }

  resume() {
    this.isPaused = false;
    this.tiles.touchAll();
    this.wake();
  }

  wake() {
    this.isSettled = false;
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.isAsked = false;
    const began = performance.now(), { camera, tiles } = this, scale = camera.scale * this.density;
    const isMoving = began - camera.movedAt < SETTLE_MS && tiles.scale !== 0;
    if (!isMoving) tiles.retarget(scale);
    const isIdle = began - Math.max(camera.movedAt, this.usedAt) > IDLE_MS;
    const hasMore = !this.isPaused && tiles.work(began + (isIdle ? IDLE_WORK_MS : WORK_MS));
    const isComplete = this.#paper(scale);
    this.#above(scale);
    this.isSettled = !(hasMore || isMoving || !isComplete);
    if (!this.isSettled && !this.isPaused) this.wake(); // paused: nothing is painted until all has come
    this.frame_ms = performance.now() - began;
  }

  #paper(scale) {
    const ctx = this.paper, { width, height } = ctx.canvas;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = paperOf(this.isDark());
    ctx.fillRect(0, 0, width, height);
    const [x, y] = this.#corner(scale);
    this.#dots(ctx, scale, x, y, 0, 0, width, height);
    this.tiles.clear = (_, left, top, side) => {
      ctx.fillStyle = paperOf(this.isDark());
      ctx.fillRect(left, top, side, side);
      this.#dots(ctx, scale, x, y, left, top, Math.min(left + side, width), Math.min(top + side, height));
    };
    return this.tiles.draw(ctx, scale, x, y, width, height);
  }

  // Where the board's origin is, on whole pixels.
  #corner(scale) {
    return [Math.round(-this.camera.x * scale), Math.round(-this.camera.y * scale)];
  }

  #dots(ctx, scale, x, y, left, top, right, bottom) {
    let step = DOTS * scale;
    while (step < CLOSEST_DOTS * this.density) step *= 4;
    if (step > 400 * this.density) return;
    ctx.fillStyle = this.isDark() ? "#2b3330" : "#d9dcd8";
    const side = Math.max(1, Math.round(1.5 * this.density));
    for (let i = Math.ceil((left - x) / step); i * step + x < right; i += 1)
      for (let j = Math.ceil((top - y) / step); j * step + y < bottom; j += 1)
        ctx.fillRect(Math.round(i * step + x), Math.round(j * step + y), side, side);
  }

  #above(scale) {
    const ctx = this.above;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    ctx.setTransform(scale, 0, 0, scale, ...this.#corner(scale));
    this.paintAbove(ctx, 1 / scale);
  }

  paintValues(ctx, values, pixel) {
    for (const value of values) paint(ctx, value, this.isDark(), pixel, boxOf(value));
  }
}
