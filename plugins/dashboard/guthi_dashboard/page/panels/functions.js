// The tab Functions: what the network can compute, what runs, and a way to call.

import { ask, post } from "/dashboard/api.js";
import { make, seconds } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Function" },
  { key: "signature", title: "Signature", is_main: false },
  { key: "run", title: "Runs", is_main: false },
  { key: "nodes", title: "On", kind: "names" },
  { key: "calls", title: "Calls", kind: "number" },
  { key: "errors", title: "Errors", kind: "number", write: (errors) => (errors ? make("span", { class: "bad" }, String(errors)) : errors === 0 ? "0" : "") },
  { key: "p50_s", title: "Median", kind: "seconds", is_main: false },
  { key: "p99_s", title: "p99", kind: "seconds" },
  { key: "conflicts", title: "Differs on", kind: "names", is_main: false },
  { key: "doc", title: "What it does", is_main: false, write: (doc) => doc.split("\n")[0] },
];

export function mount(root) {
  const caller = calling();
  const table = new Table(COLUMNS, { empty: "no functions", onrow: (row) => caller.choose(row.name) });
  const calls = make("div", { class: "faint", id: "calls" }), maps = make("div", { id: "maps" });
  root.append(
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table), calls), table.element),
    make("div", { class: "pair" }, caller.element, make("section", { class: "card" }, make("h2", {}, "Maps of this node"), maps)),
  );

  let rows = [], took = new Map();

  return (view, data) => {
    if (view === "functions") rows = data;
    if (view === "durations") took = new Map(data.map((row) => [row.name, row]));
    if (view === "functions" || view === "durations") table.update(rows.map((row) => ({ ...row, ...took.get(row.name) })));
    if (view === "calls") calls.textContent = `calls: ${data.running} running here, ${data.waited_for} waited for`;
    if (view === "maps") {
      maps.replaceChildren(...data.slice(-10).reverse().map(drawn));
      if (!data.length) maps.append(make("div", { class: "faint" }, "none so far"));
    }
  };
}

function drawn(map) {
  const bar = make("progress", { max: map.total ?? 1 });
  if (map.total !== null || map.is_over) bar.value = map.total === null ? 1 : map.done;
  const rest = map.is_over ? `over after ${seconds(map.seconds)}` : map.remaining_s === null ? "running" : `${seconds(map.remaining_s)} left`;
  const parts = Object.entries(map.nodes).map(([name, part]) => {
    const mean = part.done ? `, ${seconds(part.seconds / part.done)} each` : "";
    const told = `${part.done} done, ${part.in_hand} in hand${mean}${part.losses ? `, lost ${part.losses} times` : ""}`;
    return make("div", { class: "part" }, make("span", {}, name), share(map.done ? part.done / map.done : 0), make("span", { class: "faint" }, told));
  });
  return make("div", { class: "map-run", "data-function": map.function, "data-over": map.is_over },
    make("div", {}, make("strong", {}, map.function), ` ${map.done} of ${map.total ?? "?"}${map.failed ? `, ${map.failed} failed` : ""}, ${rest}`),
    bar, ...parts);
}

function share(part) {
  const fill = make("i");
  fill.style.width = `${100 * part}%`;
  return make("span", { class: "meter" }, fill);
}

function calling() {
  const name = make("input", { placeholder: "function", "aria-label": "Function", required: true, name: "function" });
  const node = make("input", { placeholder: "node (any)", "aria-label": "Node" });
  const words = make("textarea", { "aria-label": "Arguments or items, as JSON", name: "words", value: "[]" });
  const result = make("pre", { id: "result" });
  const form = make("form", {}, make("div", { class: "bar" }, name, node,
    make("button", { class: "main", value: "call" }, "Call"), make("button", { value: "map" }, "Map")),
    make("div", { class: "faint" }, "A JSON list: the arguments of a call, or the items of a map."), words, result);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    result.className = "";
    result.textContent = "…";
    try {
      const given = JSON.parse(words.value);
      if (!Array.isArray(given)) throw new Error("write a list in brackets, as in [1, 2]");
      const path = `/api/functions/${encodeURIComponent(name.value)}`;
      if (event.submitter?.value === "map") await run(`${path}/map`, given, result);
      else {
        const answer = await post(path, { arguments: given, on: node.value || null });
        result.textContent = JSON.stringify(await answer.json(), null, 1);
      }
    } catch (error) {
      result.className = "bad";
      result.textContent = error.message;
    }
  });
  return { element: make("section", { class: "card" }, make("h2", {}, "Call"), form), choose: (chosen) => { name.value = chosen; words.focus(); } };
}

const MOST_SHOWN = 50;

async function run(path, items, result) {
  const answer = await ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ items }) });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", count = 0;
  const shown = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const told = JSON.parse(line);
      if (told.error) throw new Error(`${told.error}: ${told.message}`);
      count += 1;
      if (shown.length < MOST_SHOWN) shown.push(`${JSON.stringify(told.item)} → ${told.failure ?? JSON.stringify(told.value)}`);
    }
    result.textContent = `${count} of ${items.length}\n${shown.join("\n")}${count > shown.length ? "\n…" : ""}`;
  }
}
