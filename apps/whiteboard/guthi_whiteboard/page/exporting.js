// The board as a picture: PNG by painting all of it once, SVG by saying the same in words.

import { boxOf, points, union, FONT, LINE_HEIGHT } from "./geometry.js";
import { arrowLines, cornerOf, inks, paint, paperOf, widthAt } from "./paint.js";

const MARGIN = 200, LONGEST_SIDE = 8192, MOST_PIXELS = 4096 * 4096; // of more some browsers make nothing
const WORK_MS = 30, AT_A_TIME = 50;

function extent(values) {
  const box = values.map(boxOf).reduce(union, null) ?? [0, 0, 1000, 1000];
  return [box[0] - MARGIN, box[1] - MARGIN, box[2] + MARGIN, box[3] + MARGIN];
}

// All of it on one canvas, some objects at a time, so that one can go on drawing.
export async function asCanvas(values, isDark, density = 2) {
  const [left, top, right, bottom] = extent(values), width = right - left, height = bottom - top;
  const scale = Math.min(0.1 * density, LONGEST_SIDE / Math.max(width, height), Math.sqrt(MOST_PIXELS / width / height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.floor(width * scale));
  canvas.height = Math.max(1, Math.floor(height * scale));
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = paperOf(isDark);
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  let until = performance.now() + WORK_MS;
  for (let at = 0; at < values.length; at += 1) {
    paint(ctx, values[at], isDark, 1 / scale);
    if (at % AT_A_TIME || performance.now() < until) continue;
    await new Promise((resolve) => setTimeout(resolve));
    until = performance.now() + WORK_MS;
  }
  return canvas;
}

// Null where the browser cannot.
export async function asPng(values, isDark) {
  const canvas = await asCanvas(values, isDark);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

const NOT_IN_XML = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu;

const escaped = (text) => text.replace(NOT_IN_XML, "").replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);

export function asSvg(values, isDark) {
  const [left, top, right, bottom] = extent(values), width = right - left, height = bottom - top;
  const body = values.map((value) => element(value, inks(isDark)[value.colour], isDark)).join("\n");
  return new Blob([
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${left} ${top} ${width} ${height}" ` +
    `width="${Math.round(width / 10)}" height="${Math.round(height / 10)}" fill="none" stroke-linecap="round" stroke-linejoin="round">\n` +
    `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="${paperOf(isDark)}"/>\n${body}\n</svg>\n`,
  ], { type: "image/svg+xml" });
}

function element(value, colour, isDark) {
  const line = `stroke="${colour}" stroke-width="${value.width}"`;
  const filled = value.fill === "none" ? "" : ` fill="${colour}" fill-opacity="${value.fill === "tint" ? 0.18 : 1}"`;
  switch (value.kind) {
    case "pen":
      if (value.pressure) return underPressure(value, colour);
      return `<path d="${curve(points(value))}" ${line}/>`;
    case "highlighter":
      return `<path d="${curve(points(value))}" ${line} opacity="0.5" style="mix-blend-mode:${isDark ? "screen" : "multiply"}"/>`;
    case "line": {
      const [x, y, toX, toY] = value.ends;
      return `<path d="M${x} ${y}L${toX} ${toY}" ${line}/>`;
    }
    case "arrow":
      return `<path d="${arrowLines(value).map(([x, y, toX, toY]) => `M${short(x)} ${short(y)}L${short(toX)} ${short(toY)}`).join("")}" ${line}/>`;
    case "rectangle": {
      const [x, y, width, height] = value.box;
      return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${short(cornerOf(value))}" ${line}${filled}/>`;
    }
    case "ellipse": {
      const [x, y, width, height] = value.box;
      return `<ellipse cx="${x + width / 2}" cy="${y + height / 2}" rx="${width / 2}" ry="${height / 2}" ${line}${filled}/>`;
    }
    default: {
      const rows = value.text.split("\n").map((row, i) =>
        `<tspan x="${value.at[0]}" y="${short(value.at[1] + value.size * (i * LINE_HEIGHT + 0.98))}">${escaped(row)}</tspan>`);
      return `<text xml:space="preserve" font-family="${escaped(FONT)}" font-size="${value.size}" fill="${colour}">${rows.join("")}</text>`;
    }
  }
}

const short = (number) => Number(number.toFixed(1));

function curve(places) {
  const last = places.length / 2 - 1;
  let path = `M${places[0]} ${places[1]}`;
  if (last === 0) return `${path}h0.1`;
  for (let i = 1; i < last; i += 1) {
    const x = places[2 * i], y = places[2 * i + 1];
    path += `Q${x} ${y} ${(x + places[2 * i + 2]) / 2} ${(y + places[2 * i + 3]) / 2}`;
  }
  return `${path}L${places[2 * last]} ${places[2 * last + 1]}`;
}

function underPressure(value, colour) {
  const places = points(value), parts = [];
  let fromX = places[0], fromY = places[1];
  for (let i = 0; i < places.length / 2; i += 1) {
    const next = Math.min(i + 1, places.length / 2 - 1), x = places[2 * i], y = places[2 * i + 1];
    const toX = (x + places[2 * next]) / 2, toY = (y + places[2 * next + 1]) / 2;
    parts.push(`<path d="M${fromX} ${fromY}Q${x} ${y} ${toX} ${toY}" stroke="${colour}" stroke-width="${short(widthAt(value, i))}"/>`);
    fromX = toX;
    fromY = toY;
  }
  return `<g>${parts.join("")}</g>`;
}

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
