// The tab Files: the tree folder by folder, conflicts that wait for a decision, and what each node exports and caches.

import { get, post } from "/dashboard/api.js";
import { bytes, make } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const when = (at_s) => (at_s ? new Date(at_s * 1000).toLocaleString([], { hour12: false }) : "");
const ENTRIES = [
  { key: "name", title: "Name", write: (name, row) => (row.is_folder ? make("strong", {}, `${name}/`) : name) },
  { key: "size_bytes", title: "Size", kind: "bytes" },
  { key: "modified_s", title: "Changed", write: when },
  { key: "nodes", title: "On", kind: "names" },
];
const NODES = [
  { key: "name", title: "Node" },
  { key: "exports", title: "Exports", kind: "names" },
  { key: "cache", title: "Cache in memory", kind: "number", write: (cache) => bytes(cache?.memory_bytes) },
  { key: "disk", title: "on disk", kind: "number", write: (_, row) => bytes(row.cache?.disk_bytes) },
  { key: "hits", title: "Hits", kind: "number", is_main: false, write: (_, row) => (row.cache ? `${row.cache.hits} of ${row.cache.hits + row.cache.misses}` : "") },
  { key: "clock_offset_s", title: "Clock ahead, ms", kind: "number", is_main: false, write: (offset) => (offset === null ? "" : (offset * 1000).toFixed(1)) },
];

export function mount(root) {
  const way = make("span", { class: "bar" }), message = make("div", { class: "message bad" });
  const entries = new Table(ENTRIES, { empty: "nothing in here", onrow: (row) => row.is_folder && open(row.path) });
  const nodes = new Table(NODES, { empty: "nobody exports anything" });
  const conflicts = make("div");
  root.append(
    make("section", { class: "card" }, make("div", { class: "bar" }, way, filterBox(entries)), message, entries.element),
    make("section", { class: "card" }, make("h2", {}, "Conflicts"), conflicts),
    make("section", { class: "card" }, make("h2", {}, "Exports and caches"), nodes.element),
  );

  async function open(path) {
    const steps = path.split("/").filter(Boolean);
    way.replaceChildren(...["", ...steps].map((step, index) =>
      make("button", { type: "button", onclick: () => open(`/${steps.slice(0, index).join("/")}`) }, step || "/")));
    await telling(async () => entries.update(await get(`/api/files/list?path=${encodeURIComponent(path)}`)));
  }

  async function look() {
    await telling(async () => {
      const found = await get("/api/files/conflicts");
      conflicts.replaceChildren(...found.map(drawn), found.length ? "" : make("div", { class: "faint" }, "none"));
    });
  }

  function drawn(conflict) {
    const decide = (keep) => telling(async () => {
      await post("/api/files/conflicts", { copy_path: conflict.copy, keep });
      await look();
    });
    return make("div", { class: "bar" }, make("span", { class: "grow" }, `${conflict.path}: ${conflict.writer} wrote ${conflict.copy}, ${when(conflict.modified_s)}`),
      make("button", { type: "button", onclick: () => decide("original") }, "Keep the original"),
      make("button", { type: "button", onclick: () => decide("copy") }, "Keep the copy"));
  }

  async function telling(work) {
    message.textContent = "";
    try {
      await work();
    } catch (error) {
      message.textContent = error.message;
    }
  }

  open("/");
  look();
  return (view, data) => nodes.update(data);
}
