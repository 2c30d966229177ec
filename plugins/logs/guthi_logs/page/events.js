// The tab Events: joins, failures and their reasons, and the logs of all nodes; the newest first.

import { clock, make, mark } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const LEVELS = ["debug", "info", "warning", "error"];
const COLUMNS = [
  { key: "at_s", title: "Time", write: clock },
  { key: "level", title: "Level", write: mark },
  { key: "node", title: "Node" },
  { key: "source", title: "Source", is_main: false },
  { key: "text", title: "What", is_wide: true, write: (text) => text.split("\n")[0] },
];

export function mount(root) {
  const all = make("pre", {}, "Click a line to see all of it.");
  const table = new Table(COLUMNS, { empty: "nothing happened", sort: "at_s", descending: true, onrow: (row) => { all.textContent = row.text; } });
  let rows = [];
  const show = () => table.update(rows.filter((row) => LEVELS.indexOf(row.level) >= LEVELS.indexOf(least.value)));
  const least = make("select", { "aria-label": "From which level on", onchange: show }, ...LEVELS.slice(1).map((level) => make("option", { value: level }, level)));
  root.append(
    make("section", { class: "card" }, make("div", { class: "bar" }, least, filterBox(table)), table.element),
    make("section", { class: "card" }, all),
  );

  return (view, data) => {
    rows = data;
    show();
  };
}
