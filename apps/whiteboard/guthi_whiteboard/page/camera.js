// Which part of the board is seen, and how large. A unit of the board is a tenth of a pixel at 100 %.

const SMALLEST = 0.002, LARGEST = 2.0;
export const NORMAL = 0.1;

export class Camera {
  constructor(onmove) {
    this.onmove = onmove;
    this.scale = NORMAL; // pixels of CSS a unit
    this.x = 0; // the unit at the left edge
    this.y = 0;
    this.movedAt = 0;
  }

  // Its place on the board, of one on the screen.
  unit(x, y) {
    return [this.x + x / this.scale, this.y + y / this.scale];
  }

  screen(x, y) {
    return [(x - this.x) * this.scale, (y - this.y) * this.scale];
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.onmove();
  }

  // Larger by a factor, with a place of the screen staying where it is.
  zoom(factor, atX = innerWidth / 2, atY = innerHeight / 2) {
    this.to(this.scale * factor, atX, atY);
  }

  to(scale, atX = innerWidth / 2, atY = innerHeight / 2) {
    const [x, y] = this.unit(atX, atY);
    this.scale = Math.max(SMALLEST, Math.min(LARGEST, scale));
    this.x = x - atX / this.scale;
    this.y = y - atY / this.scale;
    this.movedAt = performance.now();
    this.onmove();
  }

  center(x, y) {
    this.x = x - innerWidth / 2 / this.scale;
    this.y = y - innerHeight / 2 / this.scale;
    this.onmove();
  }

  // All of a box; never larger than 100 %.
  fit([left, top, right, bottom], margin = 90) {
    const width = Math.max(right - left, 1), height = Math.max(bottom - top, 1);
    const scale = Math.min((innerWidth - 2 * margin) / width, (innerHeight - 2 * margin) / height, NORMAL);
    this.scale = Math.max(SMALLEST, scale);
    this.movedAt = performance.now();
    this.center((left + right) / 2, (top + bottom) / 2);
  }
}
