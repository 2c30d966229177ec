// The tab Nodes: who is in the network, who is connected to whom, and a way to join others.

import { post } from "/dashboard/api.js";
import { bytes, make, mark, seconds, tile } from "/dashboard/dom.js";
import { countSessions, drawMap } from "/dashboard/map.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Name", write: (name, row) => (row.is_me ? make("strong", {}, `${name} (this node)`) : name) },
  { key: "state", title: "State", kind: "state", write: (state, row) => { const it = mark(state); it.title = row.verdict ?? ""; return it; } },
  { key: "address", title: "Address" },
  { key: "port", title: "Port", kind: "number" },
  { key: "zone", title: "Zone", is_main: false },
  { key: "role", title: "Role", is_main: false },
  { key: "rtt_ms", title: "RTT, ms", kind: "number", is_main: false, write: (ms) => ms?.toFixed(ms < 10 ? 2 : 0) ?? "" },
  { key: "age_s", title: "Up for", kind: "seconds", is_main: false, write: (age) => (age === undefined ? "" : seconds(age)) },
  { key: "verdict", title: "Reason" },
  { key: "plugins", title: "Plugins", is_main: false, is_narrow: true, write: (plugins) => Object.keys(plugins).join(", ") },
  { key: "id", title: "Id", is_main: false },
];

export function mount(root) {
  const table = new Table(COLUMNS, { empty: "no nodes" }), tiles = make("div", { class: "tiles" });
  const picture = make("div");
  const seen = { nodes: [], links: [], samples: [], ages: new Map() };
  root.append(
    tiles,
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table), ...connecting()), table.element),
    make("section", { class: "card" }, make("h2", {}, "Who is connected to whom"), picture),
  );

  return (view, data) => {
    if (view === "resources") seen.samples = data;
    if (view === "resources") seen.ages = new Map(data.map((row) => [row.id, row.process_age_s + Date.now() / 1000 - row.at_s]));
    if (view === "links") seen.links = data;
    if (view === "nodes") seen.nodes = data;
    if (view !== "links") table.update(seen.nodes.map((row) => ({ ...row, age_s: row.state === "alive" ? seen.ages.get(row.id) : undefined })));
    const shape = JSON.stringify([seen.nodes.map((row) => [row.id, row.name, row.state]), seen.links]);
    if (shape !== seen.shape) picture.replaceChildren(drawMap(seen.nodes, seen.links));
    seen.shape = shape;
    tiles.replaceChildren(...summed(seen));
  };
}

function summed({ nodes, links, samples }) {
  const count = (state) => nodes.filter((node) => node.state === state).length;
  const [alive, suspect, failed] = ["alive", "suspect", "failed"].map(count);
  const zones = new Set(nodes.map((node) => node.zone).filter(Boolean));
  const found = [tile("Alive", alive, `of ${nodes.length} known`, "good")];
  found.push(tile("Failed", failed, suspect ? `${suspect} suspected` : "none suspected", failed ? "bad" : suspect ? "warn" : ""));
  found.push(tile("Zones", zones.size || "–", [...zones].slice(0, 4).join(", ")));
  found.push(tile("Sessions", countSessions(links) || "–", "as nodes with web tell"));
  const living = new Set(nodes.filter((node) => node.state === "alive").map((node) => node.id));
  const machines = samples.filter((row) => living.has(row.id));
  if (machines.length) {
    const sum = (key) => machines.reduce((whole, row) => whole + row[key], 0);
    const busy = sum("cpu_percent") / machines.length;
    const used = sum("memory_total_bytes") - sum("memory_available_bytes");
    found.push(tile("CPU", `${Math.round(busy)} %`, `mean of ${machines.length} nodes`, busy >= 85 ? "bad" : busy >= 60 ? "warn" : ""));
    found.push(tile("Memory", bytes(used), `of ${bytes(sum("memory_total_bytes"))}`));
  }
  return found;
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
