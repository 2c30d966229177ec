// The tab Nodes: who is in the network, who is connected to whom, and a way to join others.

import { post } from "/dashboard/api.js";
import { make, mark, seconds } from "/dashboard/dom.js";
import { drawMap } from "/dashboard/map.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Name", write: (name, row) => (row.is_me ? make("strong", {}, `${name} (this node)`) : name) },
  { key: "state", title: "State", kind: "state", write: (state, row) => { const it = mark(state); it.title = row.verdict ?? ""; return it; } },
  { key: "address", title: "Address" },
  { key: "port", title: "Port", kind: "number" },
  { key: "zone", title: "Zone", is_main: false },
  { key: "role", title: "Role", is_main: false },
  { key: "rtt_ms", title: "Round trip, ms", kind: "number", is_main: false },
  { key: "age_s", title: "Up for", kind: "seconds", is_main: false, write: (age) => (age === undefined ? "" : seconds(age)) },
  { key: "verdict", title: "Reason" },
  { key: "plugins", title: "Plugins", is_main: false, write: (plugins) => Object.keys(plugins).join(", ") },
  { key: "id", title: "Id", is_main: false },
];

export function mount(root) {
  const table = new Table(COLUMNS, { empty: "no nodes" });
  const picture = make("div");
  const seen = { nodes: [], links: [], ages: new Map() };
  root.append(
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table), ...connecting()), table.element),
    make("section", { class: "card" }, make("h2", {}, "Who is connected to whom"), picture),
  );

  return (view, data) => {
    if (view === "resources") seen.ages = new Map(data.map((row) => [row.id, row.process_age_s + Date.now() / 1000 - row.at_s]));
    if (view === "links") seen.links = data;
    if (view === "nodes") seen.nodes = data;
    if (view !== "links") table.update(seen.nodes.map((row) => ({ ...row, age_s: row.state === "alive" ? seen.ages.get(row.id) : undefined })));
    if (view !== "resources") picture.replaceChildren(drawMap(seen.nodes, seen.links));
  };
}

function connecting() {
  const address = make("input", { placeholder: "10.0.0.5:6969", "aria-label": "Address and port", required: true, name: "address" });
  const message = make("span", { class: "message", role: "status" });
  const form = make("form", { class: "bar" }, address, make("button", { class: "main" }, "Connect"), message);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    message.className = "message faint";
    message.textContent = "connecting …";
    try {
      const { joined } = await (await post("/api/nodes", { address: address.value })).json();
      message.className = "message good";
      message.textContent = `connected to ${joined}`;
    } catch (error) {
      message.className = "message bad";
      message.textContent = error.message;
    }
  });
  return [form];
}
