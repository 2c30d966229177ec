// The page: one board of one node, put together from its parts.

import { Board, keyOf } from "./board.js";
import { Camera } from "./camera.js";
import { Connection } from "./connection.js";
import { notice, place, quiet } from "./dom.js";
import { asCanvas, asPng, asSvg, download } from "./exporting.js";
import { isHit, moved } from "./geometry.js";
import { Grid } from "./grid.js";
import { Hands } from "./hands.js";
import { History } from "./history.js";
import { listen } from "./keys.js";
import { Panels } from "./panels.js";
import { Pointers } from "./pointers.js";
import { Sharing } from "./sharing.js";
import { theme, toggleTheme } from "./theme.js";
import { Eraser, Hand, Select, SIZES, Shape, Stroke, Text, WIDTHS, frameOf } from "./tools.js";
import { View } from "./view.js";
import { Writing } from "./writing.js";
import { newPage, personName, rememberName } from "./who.js";

const MANY = 2000, SOON_MS = 700, LONG_MS = 60000;

class App {
  constructor(boardName) {
    this.boardName = boardName;
    this.me = newPage();
    this.person = personName();
    this.style = { colour: "ink", width: 1, fill: "none" };
    this.selection = new Set();
    this.isDark = theme(() => { this.view?.tiles.forget(); this.refresh(); });
    this.camera = new Camera(() => this.#moved());
    this.tools = this.#makeTools();
    this.toolName = "pen";
    this.#empty();
    this.view = new View(this.camera, (box) => this.grid.within(box, this.board.sorted()), this.isDark,
      (ctx, pixel) => this.#paintAbove(ctx, pixel));
    this.hands = new Hands(this.me, this.camera, () => this.view.wake());
    this.panels = new Panels(this);
    this.pointers = new Pointers(place("stage"), this.camera, () => this.tool, (point) => this.#hover(point));
    listen(this, this.pointers);
    place("stage").addEventListener("dblclick", (event) => this.#twice(event));
    this.#called(boardName);
    this.camera.center(0, 0);
    this.choose("pen");
  }

  // Names have more than one way to be written, and the node says which one counts.
  #called(name) {
    this.boardName = name;
    if (boardInAddress() !== name) history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    place("board-name").textContent = name;
    document.title = `${name} · Whiteboard`;
  }

  #makeTools() {
    const shapes = Object.fromEntries(["line", "arrow", "rectangle", "ellipse"].map((kind) => [kind, new Shape(this, kind)]));
    return {
      ...shapes, select: new Select(this), hand: new Hand(this), pen: new Stroke(this, "pen"),
      highlighter: new Stroke(this, "highlighter"), text: new Text(this), eraser: new Eraser(this),
    };
  }

  #empty() {
    this.grid = new Grid();
    this.board = new Board((...change) => this.#changed(...change), () => this.view?.tiles.touchAll());
    this.history = new History(this.board, this.me, (changes) => this.#write(changes), () => this.refresh());
  }

  start() {
    this.connection = new Connection(this.boardName, this.me, () => this.person, {
      drawn: (operations) => this.#drawn(operations),
      named: (name) => this.#called(name),
      whole: () => this.#whole(),
      people: (people) => { this.hands.setPeople(people); this.panels.showPeople(people, this.me); },
      hands: (gestures) => this.hands.told(gestures),
      trouble: (why) => { this.trouble = why; this.#showState(); if (why) notice(`Not saved yet: ${why}`); },
      state: () => this.#showState(),
      refused: (why) => { notice(why, 10000); this.connection.end(); },
      untaken: (why, operations) => this.#untaken(why, operations),
      again: (connect) => this.#again(connect),
    });
    this.connection.seen = ([time, author, birthTime, birthAuthor]) => {
      const entry = this.board.get([birthTime, birthAuthor]);
      return entry !== undefined && (entry.stamp[0] > time || (entry.stamp[0] === time && entry.stamp[1] >= author));
    };
    this.sharing = new Sharing(this.connection);
    this.hasMoved = false;
    this.view.isPaused = true;
    this.#again(() => this.connection.connect());
    setTimeout(() => { if (this.view.isPaused) notice("Loading…", LONG_MS); }, SOON_MS);
  }

  // Connect, unless the node wants a token first. One that was started anew does not know the cookie of its former life.
  async #again(connect) {
    try {
      const answer = await fetch("/api/boards?limit=1", { credentials: "same-origin" });
      if (answer.status === 401) return this.panels.login(() => connect());
    } catch { /* not there: to connect fails too, and is tried again */ }
    connect();
  }

  // What the node has not taken goes; where that is not all there is to it, the board comes anew.
  #untaken(why, operations) {
    notice(why, 8000);
    if (!operations.every((operation) => this.board.forget(operation.slice(2, 4)))) this.#restart();
    this.view.wake();
  }

  #restart() {
    this.select([]);
    this.#empty();
    this.view.tiles.forget();
    this.connection.number = 0;
    this.connection.socket.close();
  }

  // ---- what is on the board

  #drawn(operations) {
    const at = performance.timeOrigin + performance.now();
    for (const operation of operations) {
      const entry = this.board.apply(operation);
      if (entry) entry.heard_ms = at;
      if (operation[1] !== this.me) this.hands.finished(operation[1]);
    }
    if (this.view.isPaused && this.board.shown > MANY) notice(`Loading… ${this.board.shown.toLocaleString()}`, LONG_MS);
    this.view.wake();
  }

  #whole() {
    if (!this.view.isPaused) return;
    if (this.board.shown && !this.hasMoved) this.fit();
    this.view.resume();
    quiet("Loading…");
  }

  #changed(entry, was, is, isAlone) {
    const tiles = this.view?.isPaused ? null : this.view?.tiles;
    if (was !== null) {
      this.grid.remove(entry);
      if (isAlone) tiles?.touch(entry.box);
    }
    if (is === null) this.selection.delete(entry);
    else {
      this.grid.add(entry);
      const order = this.board.order;
      if (!isAlone) return;
      if (was === null && this.board.isSorted && order[order.length - 1] === entry) tiles?.append(entry);
      else tiles?.touch(entry.box);
    }
  }

  // Give objects values, null to delete: {birth, after}, without a birth for new ones. Returns them with their births.
  #write(changes) {
    const operations = changes.map(({ birth, after }) => {
      const stamp = [this.board.time + 1, this.me];
      const operation = [...stamp, ...(birth ?? stamp), after];
      this.board.apply(operation);
      return operation;
    });
    this.connection.draw(operations);
    this.view.wake();
    return changes.map((change, i) => ({ ...change, birth: operations[i].slice(2, 4) }));
  }

  // The same as a deed that can be undone.
  commit(changes) {
    if (!changes.length) return;
    const done = this.#write(changes).map((change) => ({ birth: change.birth, before: change.before ?? null, after: change.after }));
    this.history.did(done);
    this.lastMade = done.map(({ birth }) => this.board.get(birth)).filter((entry) => entry.shown);
  }

  undo() {
    this.pointers.cancel();
    if (!this.history.undo()) notice("Somebody else has changed that since.");
  }

  redo() {
    this.pointers.cancel();
    if (!this.history.redo()) notice("Somebody else has changed that since.");
  }

  clear() {
    if (!this.board.shown) return;
    const { at_s } = this.connection;
    this.commit(this.board.seen().map((seen) => ({ after: { kind: "clear", seen, at_s } })));
    this.select([]);
    notice("Cleared. Undo brings it back.");
  }

  at(x, y, reach) {
    const around = this.grid.within([x - reach, y - reach, x + reach, y + reach], this.board.sorted());
    return around.filter((entry) => !entry.lifted && isHit(entry.shown, x, y, reach));
  }

  lift(entries, isLifted) {
    for (const entry of entries) {
      if (entry.lifted === isLifted) continue;
      entry.lifted = isLifted;
      this.view.tiles.touch(entry.box);
    }
    this.view.wake();
  }

  // ---- tools and the selection

  get tool() {
    return this.tools[this.toolName];
  }

  choose(name, entries = []) {
    this.pointers?.cancel();
    this.toolName = name;
    this.select(name === "select" ? entries : []);
    document.getElementById("stage").style.cursor =
      { select: "default", hand: "grab", text: "text" }[name] ?? "crosshair";
    this.refresh();
  }

  setStyle(style) {
    Object.assign(this.style, style);
    const changes = [...this.selection].filter((entry) => entry.shown).map(({ birth, shown }) => {
      const after = { ...shown };
      if ("colour" in style) after.colour = style.colour;
      if ("width" in style && "width" in after) after.width = WIDTHS[style.width] * (after.kind === "highlighter" ? 6 : 1);
      if ("width" in style && "size" in after) after.size = SIZES[style.width];
      if ("fill" in style && "fill" in after) after.fill = style.fill;
      return { birth, before: shown, after };
    }).filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after));
    this.commit(changes);
    this.refresh();
  }

  select(entries) {
    this.selection = new Set(entries);
    this.view?.wake();
  }

  selectAll() {
    this.choose("select", this.board.visible());
  }

  selectionBox() {
    return frameOf(this.selection);
  }

  #changeSelection(after) {
    const chosen = [...this.selection].filter((entry) => entry.shown);
    this.lift(chosen, false);
    this.commit(chosen.map(({ birth, shown }) => ({ birth, before: shown, after: after(shown) })));
    this.view.wake();
  }

  moveSelection(dx, dy) {
    this.#changeSelection((value) => moved(value, dx, dy));
  }

  deleteSelection() {
    this.#changeSelection(() => null);
    this.select([]);
  }

  double() {
    const values = [...this.selection].filter((entry) => entry.shown).map(({ shown }) => moved(shown, 200, 200));
    this.commit(values.map((after) => ({ after })));
    if (values.length) this.select(this.lastMade);
  }

  write(point, entry) {
    const size = SIZES[this.style.width];
    const value = entry?.shown ?? {
      kind: "text", colour: this.style.colour, size, at: [Math.round(point.x), Math.round(point.y - size * 0.6)], text: "",
    };
    if (entry) this.lift([entry], true);
    this.writing = new Writing(this.camera, value, this.isDark(), (text) => {
      this.writing = null;
      if (entry) this.lift([entry], false);
      const after = text ? { ...value, text } : null;
      if (entry && text !== value.text) this.commit([{ birth: entry.birth, before: value, after }]);
      else if (!entry && after) this.commit([{ after }]);
      this.choose("select", after ? this.lastMade ?? [] : []);
    });
  }

  #twice(event) {
    const [x, y] = this.camera.unit(event.clientX, event.clientY);
    const hit = this.at(x, y, 0).reverse().find((entry) => entry.shown.kind === "text");
    if (this.toolName === "select") this.write({ x, y }, hit);
  }

  // ---- what is shown

  #moved() {
    this.hasMoved = true;
    this.panels?.showLevel(this.camera.scale);
    this.writing?.fit();
    this.view?.wake();
  }

  #hover(point) {
    this.view.usedAt = performance.now();
    this.sharing?.moved(point, this.pointers.active?.tool ?? null);
    this.view.wake();
  }

  #paintAbove(ctx, pixel) {
    this.hands.show();
    this.hands.paintDrafts(ctx, this.isDark(), pixel);
    const { tool } = this;
    this.view.paintValues(ctx, [...(tool.finished ?? []), ...(tool.carried ?? []), ...(tool.draft ? [tool.draft] : [])], pixel);
    ctx.strokeStyle = ctx.fillStyle = this.isDark() ? "#63b8a5" : "#2f7d6d";
    ctx.lineWidth = 1.5 * pixel;
    const [dx, dy] = tool.shift ?? [0, 0];
    const frame = this.selectionBox();
    if (frame) {
      const margin = 6 * pixel, [left, top, right, bottom] = frame;
      ctx.setLineDash([5 * pixel, 4 * pixel]);
      ctx.strokeRect(left - margin + dx, top - margin + dy, right - left + 2 * margin, bottom - top + 2 * margin);
      ctx.setLineDash([]);
    }
    if (tool.frame) {
      const [left, top, right, bottom] = tool.frame;
      ctx.globalAlpha = 0.1;
      ctx.fillRect(left, top, right - left, bottom - top);
      ctx.globalAlpha = 1;
      ctx.strokeRect(left, top, right - left, bottom - top);
    }
  }

  refresh() {
    if (!this.panels) return;
    this.panels.refresh();
    this.panels.showLevel(this.camera.scale);
    this.view.wake();
  }

  #showState() {
    this.panels.showState(this.connection.isLive, this.connection.unwritten, this.trouble);
  }

  fit() {
    const box = frameOf(this.board.visible());
    if (box) this.camera.fit(box);
  }

  follow(page, name) {
    const hand = this.hands.hands.get(page);
    if (hand) this.camera.center(...hand.at);
    else notice(`${name} has not moved yet.`);
  }

  rename(name) {
    if (!name) return;
    this.person = name;
    rememberName(name);
    this.connection.rename(name);
  }

  async boards() {
    return (await fetch("/api/boards", { credentials: "same-origin" })).json();
  }

  goTo(name) {
    location.hash = encodeURIComponent(name);
  }

  toggleTheme() {
    toggleTheme(this.isDark());
  }

  // ---- pictures

  values() {
    return this.board.visible().map((entry) => entry.shown);
  }

  async exportPng() {
    const values = this.values();
    if (values.length > MANY) notice("Painting it…", LONG_MS);
    const picture = await asPng(values, this.isDark());
    quiet("Painting it…");
    if (picture === null) notice("This browser has no room for a picture of it; save it as SVG.");
    else download(picture, `${this.boardName}.png`);
  }

  exportSvg() {
    download(asSvg(this.values(), this.isDark()), `${this.boardName}.svg`);
  }

  // For tests and the curious: whether all that this page knows is painted, and the node has it on disk.
  isSettled() {
    return this.view.isSettled && !this.view.isPaused && this.connection.isLive && !this.connection.unwritten;
  }
}

function boardInAddress() {
  const text = location.hash.slice(1);
  try {
    return decodeURIComponent(text) || "sketch";
  } catch { // a lone %
    return text;
  }
}

addEventListener("hashchange", () => location.reload());
const app = new App(boardInAddress());
globalThis.whiteboard = Object.assign(app, { asCanvas, asSvg, keyOf });
app.start();
