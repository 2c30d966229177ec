// What the keyboard does, where nobody is writing.

import { COLOURS } from "./paint.js";
import { TOOLS } from "./panels.js";

const STEP = 10, LARGE_STEP = 100;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const BY_KEY = new Map(TOOLS.filter(Boolean).map(([name, , key]) => [key.toLowerCase(), name]));

export function listen(app, pointers) {
  addEventListener("keydown", (event) => {
    if (event.target.closest?.("input, textarea")) return;
    if (act(app, pointers, event)) event.preventDefault();
  });
  addEventListener("keyup", (event) => { if (event.key === " ") pointers.isSpace = false; });
  addEventListener("blur", () => { pointers.isSpace = false; });
}

// On a keyboard with other letters than ours, the one that is in its place.
function letterOf({ key, code }) {
  return key.length === 1 && key > "~" && /^Key[A-Z]$/.test(code) ? code[3].toLowerCase() : key.toLowerCase();
}

// Whether the key means something here.
function act(app, pointers, event) {
  const key = letterOf(event);
  if (event.ctrlKey || event.metaKey) return withControl(app, key, event.shiftKey);
  if (event.altKey) return false;
  if (key === " ") pointers.isSpace = true;
  else if (event.key === "Escape") {
    pointers.cancel();
    app.panels.close();
    app.select([]);
  } else if (key === "delete" || key === "backspace") app.deleteSelection();
  else if (event.key in ARROWS && app.selection.size) {
    const [x, y] = ARROWS[event.key], step = event.shiftKey ? LARGE_STEP : STEP;
    app.moveSelection(x * step, y * step);
  } else if (event.code === "Digit1" && event.shiftKey) app.fit();
  else if (/^[0-9]$/.test(key) && !event.shiftKey) app.setStyle({ colour: COLOURS[(Number(key) + 9) % 10] });
  else if (key === "[" || key === "]") app.setStyle({ width: Math.max(0, Math.min(3, app.style.width + (key === "]" ? 1 : -1))) });
  else if (key === "+" || key === "=") app.camera.zoom(1.25);
  else if (key === "-") app.camera.zoom(0.8);
  else if (key === "?") app.panels.keys();
  else if (BY_KEY.has(key)) app.choose(BY_KEY.get(key));
  else return false;
  return true;
}

function withControl(app, key, isShift) {
  if (key === "z" && !isShift) app.undo();
  else if (key === "y" || (key === "z" && isShift)) app.redo();
  else if (key === "a") app.selectAll();
  else if (key === "d") app.double();
  else if (key === "0") app.camera.to(0.1);
  else return false;
  return true;
}
