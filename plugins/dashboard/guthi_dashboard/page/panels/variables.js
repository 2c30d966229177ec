// The tab Variables: what is shared, and the value of the one that is clicked.

import { get } from "/dashboard/api.js";
import { make } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Variable" },
  { key: "type", title: "Type" },
  { key: "shape", title: "Shape", is_main: false, write: (shape) => (shape ? shape.join(" × ") : "") },
  { key: "version", title: "Version", kind: "number" },
  { key: "source", title: "Written by" },
  { key: "places", title: "Kept by", kind: "names", is_main: false },
  { key: "coherence", title: "Strength", is_main: false },
  { key: "is_valid", title: "Copy here", is_main: false, write: (valid) => (valid ? "valid" : "not valid") },
];

export function mount(root) {
  const title = make("h2", {}, "Value"), value = make("pre", { id: "value" }, "Click a variable.");
  const table = new Table(COLUMNS, { empty: "no variables", onrow: show });
  root.append(
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table)), table.element),
    make("section", { class: "card" }, title, value),
  );

  async function show(row) {
    title.textContent = row.name;
    try {
      const told = await get(`/api/variables/${encodeURIComponent(row.name)}`);
      value.textContent = "value" in told ? JSON.stringify(told.value, null, 1) : `${told.type}, ${told.shape.join(" × ")}: too large to show`;
    } catch (error) {
      value.textContent = error.message;
    }
  }

  return (view, data) => table.update(data);
}
