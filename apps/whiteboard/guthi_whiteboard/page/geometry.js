// Where things are: boxes, whether something is hit, and lines with fewer points. All in tenths of a pixel at 100 %.

let measuring = null;

export const FONT = 'ui-rounded, "SF Pro Rounded", "Nunito", system-ui, sans-serif';
export const LINE_HEIGHT = 1.25;

export function points(value) {
  const steps = value.points, places = new Array(steps.length);
  let x = 0, y = 0;
  for (let i = 0; i < steps.length; i += 2) {
    places[i] = x += steps[i];
    places[i + 1] = y += steps[i + 1];
  }
  return places;
}

export function asSteps(places) {
  const steps = new Array(places.length);
  let x = 0, y = 0;
  for (let i = 0; i < places.length; i += 2) {
    steps[i] = places[i] - x;
    steps[i + 1] = places[i + 1] - y;
    x = places[i];
    y = places[i + 1];
  }
  return steps;
}

export function textSize(value) {
  measuring ??= document.createElement("canvas").getContext("2d");
  measuring.font = `${value.size}px ${FONT}`;
  const lines = value.text.split("\n");
  const width = Math.max(...lines.map((line) => measuring.measureText(line).width));
  return [width, lines.length * value.size * LINE_HEIGHT];
}

// [left, top, right, bottom] of all that is painted.
export function boxOf(value) {
  if (value.points) {
    const places = points(value), margin = value.width * (value.pressure ? 0.8 : 0.5);
    let [left, top] = places, right = left, bottom = top;
    for (let i = 2; i < places.length; i += 2) {
      if (places[i] < left) left = places[i]; else if (places[i] > right) right = places[i];
      if (places[i + 1] < top) top = places[i + 1]; else if (places[i + 1] > bottom) bottom = places[i + 1];
    }
    return [left - margin, top - margin, right + margin, bottom + margin];
  }
  if (value.ends) {
    const [x, y, toX, toY] = value.ends, margin = value.kind === "arrow" ? headOf(value) + value.width : value.width / 2;
    return [Math.min(x, toX) - margin, Math.min(y, toY) - margin, Math.max(x, toX) + margin, Math.max(y, toY) + margin];
  }
  if (value.box) {
    const [x, y, width, height] = value.box, margin = value.width / 2;
    return [x - margin, y - margin, x + width + margin, y + height + margin];
  }
  const [width, height] = textSize(value);
  return [value.at[0] - 10, value.at[1] - 10, value.at[0] + width + 10, value.at[1] + height + 10];
}

export function headOf(value) {
  const [x, y, toX, toY] = value.ends;
  return Math.min(60 + value.width * 3, Math.hypot(toX - x, toY - y) * 0.5);
}

export const overlaps = (a, b) => a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
export const contains = (a, b) => a[0] <= b[0] && a[1] <= b[1] && a[2] >= b[2] && a[3] >= b[3];
export const union = (a, b) => a === null ? b : [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];

function distance(px, py, x, y, toX, toY) {
  const dx = toX - x, dy = toY - y, length = dx * dx + dy * dy;
  const share = length ? Math.max(0, Math.min(1, ((px - x) * dx + (py - y) * dy) / length)) : 0;
  return Math.hypot(px - x - share * dx, py - y - share * dy);
}

// Whether a place is on something, or as close as `reach`.
export function isHit(value, x, y, reach) {
  const within = reach + (value.width ?? 0) / 2;
  if (value.points) {
    const places = points(value);
    if (places.length === 2) return Math.hypot(places[0] - x, places[1] - y) <= within;
    for (let i = 2; i < places.length; i += 2)
      if (distance(x, y, places[i - 2], places[i - 1], places[i], places[i + 1]) <= within) return true;
    return false;
  }
  if (value.ends) return distance(x, y, ...value.ends) <= within;
  if (value.kind === "rectangle") {
    const [left, top, width, height] = value.box;
    const isIn = x >= left - within && x <= left + width + within && y >= top - within && y <= top + height + within;
    const isDeep = x > left + within && x < left + width - within && y > top + within && y < top + height - within;
    return isIn && (value.fill !== "none" || !isDeep);
  }
  if (value.kind === "ellipse") {
    const [left, top, width, height] = value.box, a = width / 2 || 1, b = height / 2 || 1;
    const far = Math.hypot((x - left - a) / a, (y - top - b) / b), slack = within / Math.min(a, b);
    return far <= 1 + slack && (value.fill !== "none" || far >= 1 - slack);
  }
  const [left, top, right, bottom] = boxOf(value);
  return x >= left && x <= right && y >= top && y <= bottom;
}

export function moved(value, dx, dy) {
  const copy = { ...value };
  if (value.points) copy.points = [value.points[0] + dx, value.points[1] + dy, ...value.points.slice(2)];
  if (value.ends) copy.ends = [value.ends[0] + dx, value.ends[1] + dy, value.ends[2] + dx, value.ends[3] + dy];
  if (value.box) copy.box = [value.box[0] + dx, value.box[1] + dy, value.box[2], value.box[3]];
  if (value.at) copy.at = [value.at[0] + dx, value.at[1] + dy];
  return copy;
}

// The indexes of the points that a line needs to be within `tolerance` of itself (Ramer 1972, Douglas and Peucker 1973).
export function simplified(places, tolerance) {
  const last = places.length / 2 - 1;
  if (last < 2) return [...Array(last + 1).keys()];
  const isKept = new Uint8Array(last + 1), left = [[0, last]];
  isKept[0] = isKept[last] = 1;
  while (left.length) {
    const [from, to] = left.pop();
    let farthest = 0, at = 0;
    for (let i = from + 1; i < to; i += 1) {
      const far = distance(places[2 * i], places[2 * i + 1], places[2 * from], places[2 * from + 1], places[2 * to], places[2 * to + 1]);
      if (far > farthest) { farthest = far; at = i; }
    }
    if (farthest > tolerance) {
      isKept[at] = 1;
      left.push([from, at], [at, to]);
    }
  }
  return [...isKept.keys()].filter((i) => isKept[i]);
}
