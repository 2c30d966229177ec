// A table of as many rows as one likes: only those that can be seen are in the document. It sorts and filters.

import { bytes, make, mark, meter, seconds } from "./dom.js";

const ROW_PX = 34;
const BEYOND = 8;
const NUMERIC = new Set(["number", "bytes", "seconds"]);

const WRITERS = {
  text: (value) => (value === null || value === undefined ? "" : String(value)),
  number: (value) => (value === null || value === undefined ? "" : String(value)),
  bytes, seconds,
  percent: (value) => (value === null || value === undefined ? "" : meter(value)),
  state: (value) => (value ? mark(value) : ""),
  names: (value) => (value ?? []).join(", "),
};

export class Table {
  // `columns` are {key, title, kind, is_main, is_wide, is_narrow, write}; `onrow` is called with a row that is clicked.
  constructor(columns, { empty = "nothing", onrow = null, onhover = null, sort = null, descending = false } = {}) {
    this.columns = columns;
    this.options = { empty, onrow, onhover };
    this.rows = [];
    this.shown = [];
    this.drawn = new Map(); // text of a row -> its element: what did not change stays, under the pointer too
    this.filter = "";
    this.sort = { key: sort ?? columns[0].key, descending };
    this.body = make("tbody");
    this.head = make("thead", {}, make("tr", {}, ...columns.map((column) => this.#title(column))));
    this.element = make("div", { class: "scroll", tabIndex: 0 }, make("table", {}, this.head, this.body));
    this.element.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(this.element); // with its first rows it grows, and shows more
  }

  update(rows) {
    this.rows = rows;
    this.#arrange();
  }

  setFilter(text) {
    this.filter = text.toLowerCase();
    this.#arrange();
  }

  #title(column) {
    return make("th", { class: classesOf(column), scope: "col", onclick: () => this.#sortBy(column.key) }, column.title);
  }

  #sortBy(key) {
    this.sort = { key, descending: this.sort.key === key && !this.sort.descending };
    this.#arrange();
  }

  #arrange() {
    const { key, descending } = this.sort;
    const rows = this.filter
      ? this.rows.filter((row) => JSON.stringify(Object.values(row)).toLowerCase().includes(this.filter))
      : [...this.rows];
    rows.sort((one, other) => compare(one[key], other[key]) * (descending ? -1 : 1));
    this.shown = rows;
    this.#draw();
  }

  #draw() {
    const height = this.element.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - BEYOND);
    const last = Math.min(this.shown.length, Math.ceil((this.element.scrollTop + height) / ROW_PX) + BEYOND);
    const drawn = new Map();
    const rows = this.shown.slice(first, last).map((row) => {
      const text = JSON.stringify(row);
      const element = (!drawn.has(text) && this.drawn.get(text)) || this.#row(row);
      drawn.set(text, element);
      return element;
    });
    this.drawn = drawn;
    const width = this.columns.length;
    if (!this.shown.length) {
      rows.push(make("tr", {}, make("td", { colSpan: width, class: "faint" }, this.filter ? "nothing like that" : this.options.empty)));
    }
    place(this.body, [spacer(first, width), ...rows, spacer(this.shown.length - last, width)]);
  }

  #row(row) {
    const cells = this.columns.map((column) => {
      const value = column.write ? column.write(row[column.key], row) : WRITERS[column.kind ?? "text"](row[column.key]);
      const cell = make("td", { class: classesOf(column) }, value ?? "");
      if (typeof value === "string" && value.length > 24) cell.title = value;
      return cell;
    });
    const element = make("tr", { class: "row" }, ...cells);
    if (row.name !== undefined) element.dataset.name = row.name;
    if (this.options.onrow) element.addEventListener("click", () => this.options.onrow(row));
    if (this.options.onhover) {
      element.addEventListener("mouseenter", () => this.options.onhover(row));
      element.addEventListener("mouseleave", () => this.options.onhover(null));
    }
    return element;
  }
}

const classesOf = ({ kind, is_main, is_wide, is_narrow }) =>
  [NUMERIC.has(kind) && "number", is_main === false && "minor", is_wide && "wide", is_narrow && "narrow"].filter(Boolean).join(" ");

// Makes these the children, and moves none that is in its place.
function place(parent, children) {
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  while (parent.children.length > children.length) parent.lastChild.remove();
}

function spacer(rows, width) {
  const cell = make("td", { colSpan: width });
  cell.style.height = `${rows * ROW_PX}px`;
  return make("tr", { class: "spacer" }, cell);
}

function compare(one, other) {
  if (one === other) return 0;
  if (one === null || one === undefined) return 1;
  if (other === null || other === undefined) return -1;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

export function filterBox(table, label = "Filter") {
  return make("input", { class: "grow", type: "search", placeholder: label, "aria-label": label, oninput: (event) => table.setFilter(event.target.value) });
}
