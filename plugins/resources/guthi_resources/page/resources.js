// The tab Resources: processor and memory of every node over time, and a table of what each has.

import { get } from "/dashboard/api.js";
import { Chart, colourOf } from "/dashboard/chart.js";
import { bytes, make } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Node" },
  { key: "state", title: "State", kind: "state", is_main: false },
  { key: "cpu_percent", title: "CPU", kind: "percent" },
  { key: "cores_percent", title: "Cores", is_main: false, write: (cores) => make("span", { class: "cores" }, cores.map((share) => "▁▂▃▄▅▆▇█"[Math.min(7, Math.floor(share / 12.5))]).join("")) },
  { key: "load_1m", title: "Load", kind: "number" },
  { key: "memory_percent", title: "Memory", kind: "percent" },
  { key: "memory_total_bytes", title: "Installed", kind: "bytes" },
  { key: "memory_available_bytes", title: "Available", kind: "bytes" },
  { key: "disk_percent", title: "Disk", kind: "percent", is_main: false },
  { key: "received_bytes_s", title: "In/s", kind: "bytes", is_main: false },
  { key: "sent_bytes_s", title: "Out/s", kind: "bytes", is_main: false },
  { key: "process_cpu_percent", title: "Own CPU, % of a core", kind: "number", is_main: false },
  { key: "process_memory_bytes", title: "Own memory", kind: "bytes", is_main: false },
];

const MOST_LINES = 60; // of more nodes the busiest are drawn, and all are in the table

export function mount(root) {
  const rate = { most: null, write: (value) => `${bytes(value)}/s` };
  const charts = { cpu: new Chart("CPU"), memory: new Chart("Memory in use"), received: new Chart("Network, received", rate), sent: new Chart("Network, sent", rate) };
  const all = Object.values(charts);
  const legend = make("div", { class: "legend" });
  const table = new Table(COLUMNS, {
    empty: "nothing known yet",
    sort: "cpu_percent",
    descending: true,
    onhover: (row) => point(row?.id ?? null),
  });
  root.append(
    legend,
    make("div", { class: "pair" }, ...all.slice(0, 2).map((chart) => chart.element)),
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table)), table.element),
    make("div", { class: "pair" }, ...all.slice(2).map((chart) => chart.element)),
  );
  let before = null; // the histories, asked for once
  let rows = [], named = "";

  const point = (id) => all.forEach((chart) => chart.highlight(id));

  function draw() {
    const busiest = [...rows].sort((one, other) => other.cpu_percent - one.cpu_percent).slice(0, MOST_LINES);
    const ids = new Set(busiest.map((row) => row.id));
    all.forEach((chart) => chart.drop(ids));
    [...rows].sort((one, other) => one.name.localeCompare(other.name)).forEach((row, index) => {
      if (!ids.has(row.id)) return;
      for (const [chart, place, value] of [[charts.cpu, 1, row.cpu_percent], [charts.memory, 2, row.memory_percent], [charts.received, 3, row.received_bytes_s], [charts.sent, 4, row.sent_bytes_s]]) {
        const line = chart.line(row.id, row.name, colourOf(index));
        line.is_over = row.state === "failed";
        if (before && !line.points.length) {
          for (const point of before[row.id] ?? []) chart.add(row.id, point[0], point[place]);
        }
        if (before) chart.add(row.id, row.at_s, value);
      }
    });
    all.forEach((chart) => chart.draw());
    const names = JSON.stringify([...charts.cpu.lines].map(([, { name }]) => name));
    if (names === named) return; // what the pointer is on stays
    named = names;
    legend.replaceChildren(...[...charts.cpu.lines].map(([id, { name, colour }]) => {
      const line = make("i");
      line.style.background = colour;
      return make("button", { type: "button", onpointerenter: () => point(id), onpointerleave: () => point(null) }, line, name);
    }));
    if (rows.length > MOST_LINES) legend.append(make("span", { class: "faint" }, `the ${MOST_LINES} busiest of ${rows.length}`));
  }

  get("/api/history").then((told) => { before = told; draw(); }, () => { before = {}; draw(); });

  return (view, data) => {
    rows = data;
    table.update(rows);
    draw();
  };
}
