// Keeps the board as pictures of pieces of it, so that a frame costs as many copies as there are pieces on the screen,
// whatever is on the board. A piece that has changed is painted anew beside the frames, some objects at a time, and shown
// as it was meanwhile; something new on top of all else is painted onto the pieces at once. While one zooms, the pieces
// of the former scale are shown larger or smaller, until the new ones are there.

import { overlaps } from "./geometry.js";
import { paint } from "./paint.js";

export const SIDE = 512;
const MOST_TILES = 120, AT_A_TIME = 24;

export class Tiles {
  // `within(box)` gives what is there, the lowest first.
  constructor(within, isDark) {
    this.within = within;
    this.isDark = isDark;
    this.scale = 0;
    this.tiles = new Map();
    this.old = null;
    this.turn = 0;
  }

  retarget(scale) {
    if (scale === this.scale) return;
    const isWhole = [...this.tiles.values()].some((tile) => tile.picture);
    if (isWhole) this.old = { scale: this.scale, tiles: this.tiles };
    this.scale = scale;
    this.tiles = new Map();
  }

  forget() {
    this.tiles = new Map();
    this.old = null;
  }

  touchAll() {
    for (const tile of this.tiles.values()) this.#touch(tile);
    this.old = null;
  }

  touch(box) {
    for (const tile of this.tiles.values()) if (overlaps(tile.box, box)) this.#touch(tile);
  }

  #touch(tile) {
    tile.isStale = true;
    tile.job = null;
  }

  // Something new, on top of all else.
  append(entry) {
    for (const tile of this.tiles.values()) {
      if (!overlaps(tile.box, entry.box)) continue;
      if (tile.isStale || tile.job) this.#touch(tile);
      else this.#paint(tile.picture.getContext("2d"), tile, entry);
    }
  }

  // Copy what there is; true when nothing on the screen is missing or old. Offsets and sizes are in pixels.
  draw(ctx, scale, offsetX, offsetY, width, height) {
    this.turn += 1;
    const factor = scale / this.scale;
    if (this.old) this.#copyOld(ctx, scale, offsetX, offsetY, width, height);
    let isComplete = factor === 1;
    const side = SIDE * factor;
    for (let x = Math.floor(-offsetX / side); x * side + offsetX < width; x += 1) {
      for (let y = Math.floor(-offsetY / side); y * side + offsetY < height; y += 1) {
        const tile = this.#tile(x, y);
        tile.turn = this.turn;
        if (tile.picture) {
          const left = x * side + offsetX, top = y * side + offsetY;
          if (this.old) this.clear(ctx, left, top, side);
          ctx.drawImage(tile.picture, left, top, side, side);
        }
        if (tile.isStale) isComplete = false;
      }
    }
    if (isComplete) this.old = null;
    this.#prune();
    return isComplete;
  }

  #copyOld(ctx, scale, offsetX, offsetY, width, height) {
    const side = SIDE * scale / this.old.scale;
    for (const tile of this.old.tiles.values()) {
      const left = tile.x * side + offsetX, top = tile.y * side + offsetY;
      if (tile.picture && left < width && top < height && left + side > 0 && top + side > 0)
        ctx.drawImage(tile.picture, left, top, side, side);
    }
  }

  #tile(x, y) {
    const key = `${x},${y}`;
    let tile = this.tiles.get(key);
    if (tile === undefined) {
      const side = SIDE / this.scale, margin = 2 / this.scale;
      const box = [x * side - margin, y * side - margin, (x + 1) * side + margin, (y + 1) * side + margin];
      tile = { x, y, box, picture: null, isStale: true, job: null, turn: this.turn };
      this.tiles.set(key, tile);
    }
    return tile;
  }

  #prune() {
    if (this.tiles.size <= MOST_TILES) return;
    const byAge = [...this.tiles.entries()].sort((a, b) => a[1].turn - b[1].turn);
    for (const [key, tile] of byAge.slice(0, this.tiles.size - MOST_TILES))
      if (tile.turn !== this.turn) this.tiles.delete(key);
  }

  // Paint what is missing on the screen until a moment; true when there is more.
  work(until) {
    for (const tile of this.tiles.values()) {
      if (tile.turn !== this.turn || !tile.isStale) continue;
      tile.job ??= this.#begin(tile);
      const { picture, entries } = tile.job, ctx = picture.getContext("2d");
      while (tile.job.at < entries.length) {
        if (tile.job.at % AT_A_TIME === 0 && performance.now() >= until) return true;
        this.#paint(ctx, tile, entries[tile.job.at]);
        tile.job.at += 1;
      }
      tile.picture = picture;
      tile.job = null;
      tile.isStale = false;
      if (performance.now() >= until) return true;
    }
    return false;
  }

  #begin(tile) {
    const picture = document.createElement("canvas");
    picture.width = picture.height = SIDE;
    return { picture, entries: this.within(tile.box), at: 0 };
  }

  #paint(ctx, tile, entry) {
    if (entry.shown === null || entry.lifted) return;
    ctx.setTransform(this.scale, 0, 0, this.scale, -tile.x * SIDE, -tile.y * SIDE);
    paint(ctx, entry.shown, this.isDark(), 1 / this.scale, entry.box);
  }
}
