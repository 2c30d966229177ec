// How each kind of object looks. `ctx` is scaled to tenths of a pixel at 100 %; `pixel` is how large one of its pixels is.

import { FONT, LINE_HEIGHT, boxOf, headOf, points } from "./geometry.js";

const LIGHT = {
  ink: "#1e2422", grey: "#8a9490", red: "#e03131", orange: "#f0760a", yellow: "#f2b705", green: "#2f9e44",
  teal: "#0c9488", blue: "#1c7ed6", violet: "#7048e8", pink: "#d6336c",
};
const DARK = {
  ink: "#eef2f0", grey: "#8d9994", red: "#ff7b7b", orange: "#ffa04d", yellow: "#ffd54a", green: "#69d07f",
  teal: "#4fd1c0", blue: "#64b5ff", violet: "#a48cff", pink: "#ff7eb0",
};

const SPECK = 3.5;

export const COLOURS = Object.keys(LIGHT);
export const inks = (isDark) => isDark ? DARK : LIGHT;
export const paperOf = (isDark) => isDark ? "#151a18" : "#fdfdfb";

export function paint(ctx, value, isDark, pixel, box = boxOf(value)) {
  const colour = inks(isDark)[value.colour];
  const size = Math.max(box[2] - box[0], box[3] - box[1]) / pixel;
  ctx.strokeStyle = ctx.fillStyle = colour;
  if (size < SPECK) { // so far away a line is a speck
    ctx.globalAlpha = value.kind === "highlighter" ? 0.3 : 0.55;
    ctx.fillRect(box[0], box[1], Math.max(box[2] - box[0], pixel), Math.max(box[3] - box[1], pixel));
    ctx.globalAlpha = 1;
    return;
  }
  ctx.lineCap = ctx.lineJoin = "round";
  ctx.lineWidth = value.width;
  PAINTERS[value.kind](ctx, value, size, isDark);
}

const PAINTERS = {
  pen(ctx, value, size) {
    if (value.pressure) underPressure(ctx, value);
    else stroke(ctx, value, size);
  },
  highlighter(ctx, value, size, isDark) {
    ctx.globalAlpha = isDark ? 0.45 : 0.5;
    ctx.globalCompositeOperation = isDark ? "screen" : "multiply";
    stroke(ctx, value, size);
    ctx.globalCompositeOperation = "source-over";
    ctx.globalAlpha = 1;
  },
  line(ctx, { ends: [x, y, toX, toY] }) {
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(toX, toY);
    ctx.stroke();
  },
  arrow(ctx, value) {
    ctx.beginPath();
    for (const [x, y, toX, toY] of arrowLines(value)) {
      ctx.moveTo(x, y);
      ctx.lineTo(toX, toY);
    }
    ctx.stroke();
  },
  rectangle(ctx, value) {
    const [x, y, width, height] = value.box;
    ctx.beginPath();
    ctx.roundRect(x, y, width, height, cornerOf(value));
    area(ctx, value);
  },
  ellipse(ctx, value) {
    const [x, y, width, height] = value.box;
    ctx.beginPath();
    ctx.ellipse(x + width / 2, y + height / 2, width / 2, height / 2, 0, 0, 2 * Math.PI);
    area(ctx, value);
  },
  text(ctx, value) {
    ctx.font = `${value.size}px ${FONT}`;
    ctx.textBaseline = "alphabetic";
    value.text.split("\n").forEach((line, row) =>
      ctx.fillText(line, value.at[0], value.at[1] + value.size * (row * LINE_HEIGHT + 0.98)));
  },
};

export const cornerOf = (value) => Math.min(80, value.box[2] / 6, value.box[3] / 6);

export function arrowLines(value) {
  const [x, y, toX, toY] = value.ends, head = headOf(value), angle = Math.atan2(toY - y, toX - x);
  const wing = (turn) => [toX - head * Math.cos(angle + turn), toY - head * Math.sin(angle + turn), toX, toY];
  return [[x, y, toX, toY], wing(0.5), wing(-0.5)];
}

function area(ctx, value) {
  if (value.fill !== "none") {
    ctx.globalAlpha = value.fill === "tint" ? 0.18 : 1;
    ctx.fill();
    ctx.globalAlpha = 1;
  }
  ctx.stroke();
}

// A smooth line: curves from middle to middle, with the points as what pulls at them.
function stroke(ctx, value, size) {
  const places = points(value), count = places.length / 2;
  ctx.beginPath();
  ctx.moveTo(places[0], places[1]);
  if (count === 1) ctx.lineTo(places[0] + 0.1, places[1]);
  const step = Math.max(1, Math.floor(count / Math.max(6, 2 * size))); // far away nobody sees all of them
  let i = step;
  for (; i < count - 1; i += step) {
    const next = Math.min(i + step, count - 1), x = places[2 * i], y = places[2 * i + 1];
    ctx.quadraticCurveTo(x, y, (x + places[2 * next]) / 2, (y + places[2 * next + 1]) / 2);
  }
  if (count > 1) ctx.lineTo(places[2 * count - 2], places[2 * count - 1]);
  ctx.stroke();
}

export const widthAt = (value, i) => value.width * (0.3 + 1.2 * (value.pressure[Math.min(i, value.pressure.length - 1)] / 100));

function underPressure(ctx, value) {
  const places = points(value), count = places.length / 2;
  let fromX = places[0], fromY = places[1];
  for (let i = 0; i < count; i += 1) {
    const next = Math.min(i + 1, count - 1), x = places[2 * i], y = places[2 * i + 1];
    const toX = (x + places[2 * next]) / 2, toY = (y + places[2 * next + 1]) / 2;
    ctx.lineWidth = widthAt(value, i);
    ctx.beginPath();
    ctx.moveTo(fromX, fromY);
    if (count === 1) ctx.lineTo(fromX + 0.1, fromY);
    else ctx.quadraticCurveTo(x, y, toX, toY);
    ctx.stroke();
    fromX = toX;
    fromY = toY;
  }
}
