// The islands around the board: tools, colours, who is here, and what opens from them.

import { ICONS, icon, make, notice, place } from "./dom.js";
import { COLOURS, inks } from "./paint.js";
import { colourOf, initials } from "./hands.js";

export const TOOLS = [
  ["select", "Select and move", "V"], ["hand", "Move the paper", "H"], null, ["pen", "Pen", "P"],
  ["highlighter", "Highlighter", "M"], ["line", "Line", "L"], ["arrow", "Arrow", "A"],
  ["rectangle", "Rectangle", "R"], ["ellipse", "Ellipse", "O"], ["text", "Text", "T"], ["eraser", "Eraser", "E"],
];
const FILLS = [["none", "No fill", 0], ["tint", "Tinted", 0.3], ["solid", "Solid", 1]];
const MOST_FACES = 6;

function lineIcon(width) {
  const line = icon("M4 16c5-9 9 5 16-7");
  line.style.strokeWidth = 1.2 + width * 1.6;
  return line;
}

export class Panels {
  constructor(app) {
    this.app = app;
    this.popover = null;
    place("menu").append(icon(ICONS.menu));
    place("menu").onclick = () => this.#menu();
    place("board").onclick = () => this.#boards();
    this.#tools();
    this.#past();
    addEventListener("pointerdown", (event) => {
      if (this.popover && !this.popover.contains(event.target) && !this.opener?.contains(event.target)) this.close();
    }, true);
  }

  #tools() {
    const buttons = TOOLS.map((tool) => tool === null ? make("hr") : make("button", {
      type: "button", title: `${tool[1]} (${tool[2]})`, "aria-label": tool[1], "data-tool": tool[0],
      onclick: () => this.app.choose(tool[0]),
    }, icon(ICONS[tool[0]])));
    const palette = make("button", { type: "button", class: "style-button", title: "Colour and width", "aria-label": "Colour and width",
      onclick: () => place("styles").classList.toggle("open") }, icon(ICONS.palette));
    place("tools").replaceChildren(...buttons, palette);
  }

  #past() {
    const { app } = this;
    this.undo = make("button", { type: "button", title: "Undo (Ctrl+Z)", "aria-label": "Undo", onclick: () => app.undo() }, icon(ICONS.undo));
    this.redo = make("button", { type: "button", title: "Redo (Ctrl+Shift+Z)", "aria-label": "Redo", onclick: () => app.redo() }, icon(ICONS.redo));
    place("past").replaceChildren(this.undo, this.redo);
    this.level = make("button", { type: "button", class: "level", title: "100 % (0)", onclick: () => app.camera.to(0.1) });
    const button = (name, title, onclick) => make("button", { type: "button", class: "icon", title, "aria-label": title, onclick }, icon(ICONS[name]));
    place("zoom").replaceChildren(
      button("minus", "Smaller (-)", () => app.camera.zoom(0.8)), this.level,
      button("plus", "Larger (+)", () => app.camera.zoom(1.25)), button("fit", "All of it (Shift+1)", () => app.fit()));
  }

  // Show what is chosen.
  refresh() {
    const { app } = this, { style } = app;
    for (const button of place("tools").querySelectorAll("[data-tool]"))
      button.setAttribute("aria-pressed", button.dataset.tool === app.toolName);
    const swatches = make("div", { class: "swatches" }, ...COLOURS.map((colour) => {
      const dot = make("i");
      dot.style.background = inks(app.isDark())[colour];
      return this.#choice(colour, style.colour === colour, () => app.setStyle({ colour }), dot);
    }));
    const widths = make("div", { class: "swatches words" }, ...["Thin", "Medium", "Thick", "Fat"].map((word, width) =>
      this.#choice(word, style.width === width, () => app.setStyle({ width }), lineIcon(width))));
    const fills = make("div", { class: "swatches words three" }, ...FILLS.map(([fill, word, opacity]) => {
      const square = icon(ICONS.none);
      square.style.fill = "currentColor";
      square.style.fillOpacity = opacity;
      return this.#choice(word, style.fill === fill, () => app.setStyle({ fill }), square);
    }));
    place("styles").replaceChildren(swatches, make("hr"), widths, make("hr"), fills);
    this.undo.disabled = !app.history.done.length;
    this.redo.disabled = !app.history.undone.length;
  }

  #choice(title, isChosen, onclick, ...content) {
    return make("button", { type: "button", title, "aria-label": title, "aria-pressed": isChosen, onclick }, ...content);
  }

  showLevel(scale) {
    this.level.textContent = `${Math.round(scale * 1000)} %`;
  }

  showPeople(people, me) {
    const sorted = [...people].sort((a, b) => (b.page === me) - (a.page === me) || (a.name < b.name ? -1 : 1));
    const faces = sorted.slice(0, MOST_FACES).map(({ page, name, node }) => {
      const face = make("button", {
        type: "button", title: page === me ? `${name} (you), on ${node}` : `${name}, on ${node}`,
        onclick: (event) => page === me ? this.#name(event.currentTarget) : this.app.follow(page, name),
      }, initials(name));
      face.style.background = colourOf(page);
      return face;
    });
    if (sorted.length > MOST_FACES) faces.push(make("button", {
      type: "button", class: "more", title: "All who are here", onclick: (event) => this.#everybody(event.currentTarget, sorted, me),
    }, `+${sorted.length - MOST_FACES}`));
    place("people").replaceChildren(...faces);
  }

  showState(isLive, unwritten, trouble) {
    const dot = place("connection");
    dot.className = trouble ? "bad" : !isLive ? "" : unwritten ? "saving" : "live";
    dot.title = trouble ? `not saved: ${trouble}` : isLive
      ? (unwritten ? `saving ${unwritten}` : "all is saved")
      : `no connection; ${unwritten ? `${unwritten} changes are kept here until there is one` : "you can go on drawing"}`;
  }

  // ---- what opens

  open(opener, ...content) {
    this.close();
    this.opener = opener;
    this.popover = make("div", { class: "popover", role: "dialog" }, ...content);
    document.body.append(this.popover);
    const at = opener.getBoundingClientRect(), own = this.popover.getBoundingClientRect();
    this.popover.style.left = `${Math.max(12, Math.min(at.left, innerWidth - own.width - 12))}px`;
    this.popover.style.top = `${Math.max(12, Math.min(at.bottom + 8, innerHeight - own.height - 12))}px`;
  }

  close() {
    this.popover?.remove();
    this.popover = null;
  }

  #item(name, title, key, onclick, kind = "") {
    return make("button", { type: "button", class: kind, onclick: () => { this.close(); onclick(); } },
      icon(ICONS[name]), title, key ? make("kbd", {}, key) : null);
  }

  #menu() {
    if (this.popover) return this.close();
    const { app } = this;
    this.open(place("menu"),
      this.#item("picture", "Save as PNG", "", () => app.exportPng()),
      this.#item("vector", "Save as SVG", "", () => app.exportSvg()),
      this.#item("fit", "Show all of it", "Shift 1", () => app.fit()),
      this.#item("theme", app.isDark() ? "Light paper" : "Dark paper", "", () => app.toggleTheme()),
      this.#item("person", "Your name", "", () => this.#name(place("menu"))),
      this.#item("keys", "Keys", "?", () => this.keys()),
      this.#item("trash", "Clear the board", "", () => app.clear(), "danger"));
  }

  async #boards() {
    if (this.popover) return this.close();
    const boards = await this.app.boards().catch(() => []);
    const rows = boards.map(({ name }) => make("button", {
      type: "button", onclick: () => { this.close(); this.app.goTo(name); },
    }, name, name === this.app.boardName ? make("span", { class: "aside" }, "here") : null));
    const field = make("input", { placeholder: "A new board", maxLength: 60, "aria-label": "A new board" });
    const form = make("form", { onsubmit: (event) => {
      event.preventDefault();
      if (!field.value.trim()) return;
      this.close();
      this.app.goTo(field.value.trim());
    } }, field, make("button", { class: "main" }, "Open"));
    this.open(place("board"), make("h2", {}, "Boards"), ...rows, form);
  }

  #name(opener) {
    const field = make("input", { value: this.app.person, maxLength: 40, "aria-label": "Your name" });
    const form = make("form", { onsubmit: (event) => {
      event.preventDefault();
      this.close();
      this.app.rename(field.value.trim());
    } }, field, make("button", { class: "main" }, "OK"));
    this.open(opener, make("h2", {}, "What others see at your cursor"), form);
    field.select();
  }

  #everybody(opener, people, me) {
    this.open(opener, make("h2", {}, `${people.length} are here`), ...people.map(({ page, name, node }) => {
      const dot = make("span", { class: "dot" });
      dot.style.background = colourOf(page);
      return make("button", { type: "button", onclick: () => { this.close(); if (page !== me) this.app.follow(page, name); } },
        dot, name, make("span", { class: "aside" }, page === me ? "you" : node));
    }));
  }

  keys() {
    const rows = [...TOOLS.filter(Boolean).map(([, title, key]) => [key, title]),
      ["1 … 0", "Colours"], ["[ ]", "Thinner, thicker"], ["Ctrl Z", "Undo"], ["Ctrl Shift Z", "Redo"],
      ["Ctrl A", "Select all"], ["Ctrl D", "Double what is selected"], ["Del", "Delete it"], ["Arrows", "Move it"],
      ["Shift", "Even shapes, straight lines"], ["Space, wheel", "Move the paper"], ["Ctrl wheel, + -", "Zoom"], ["Esc", "Never mind"]];
    this.open(place("menu"), make("h2", {}, "Keys"),
      make("dl", {}, ...rows.flatMap(([key, title]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, title)])));
  }

  login(again) {
    const token = make("input", { type: "password", autocomplete: "current-password", placeholder: "Token", required: true, name: "token" });
    const form = make("form", { class: "popover login", onsubmit: async (event) => {
      event.preventDefault();
      const answer = await fetch("/api/login", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token: token.value }),
      });
      if (!answer.ok) return notice("That is not the token.");
      form.remove();
      again();
    } }, make("h2", {}, "This node asks for a token"), make("div", { class: "aside" }, "guthi web --token --config node.toml prints it."),
      token, make("button", { class: "main" }, "Open"));
    document.querySelector("form.login")?.remove();
    document.body.append(form);
    token.focus();
  }
}
