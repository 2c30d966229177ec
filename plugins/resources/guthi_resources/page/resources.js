// The tab Resources: processor and memory of every node over time, and a table of what each has.

import { get } from "/dashboard/api.js";
import { Chart, colourOf } from "/dashboard/chart.js";
import { make } from "/dashboard/dom.js";
import { Table, filterBox } from "/dashboard/table.js";

const COLUMNS = [
  { key: "name", title: "Node" },
  { key: "state", title: "State", kind: "state", is_main: false },
  { key: "cpu_percent", title: "CPU", kind: "percent" },
  { key: "cores_percent", title: "Cores", is_main: false, write: (cores) => cores.map((share) => "▁▂▃▄▅▆▇█"[Math.min(7, Math.floor(share / 12.5))]).join("") },
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

export function mount(root) {
  const charts = { cpu: new Chart("CPU, %"), memory: new Chart("Memory in use, %") };
  const both = Object.values(charts);
  const legend = make("div", { class: "legend" });
  const table = new Table(COLUMNS, {
    empty: "nothing known yet",
    sort: "cpu_percent",
    descending: true,
    onhover: (row) => both.forEach((chart) => chart.highlight(row?.id ?? null)),
  });
  root.append(
    make("div", { class: "pair" }, ...both.map((chart) => chart.element)),
    make("section", { class: "card" }, legend),
    make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table)), table.element),
  );
  let before = null; // the histories, asked for once
  let rows = [];

  function draw() {
    const ids = new Set(rows.map((row) => row.id));
    both.forEach((chart) => chart.drop(ids));
    [...rows].sort((one, other) => one.name.localeCompare(other.name)).forEach((row, index) => {
      for (const [chart, place, share] of [[charts.cpu, 1, row.cpu_percent], [charts.memory, 2, row.memory_percent]]) {
        const line = chart.line(row.id, row.name, colourOf(index));
        line.is_over = row.state === "failed";
        if (before && !line.points.length) {
          for (const point of before[row.id] ?? []) chart.add(row.id, point[0], point[place]);
        }
        if (before) chart.add(row.id, row.at_s, share);
      }
    });
    both.forEach((chart) => chart.draw());
    legend.replaceChildren(...[...charts.cpu.lines.values()].map(({ name, colour }) => {
      const line = make("i");
      line.style.background = colour;
      return make("span", {}, line, name);
    }));
  }

  get("/api/history").then((told) => { before = told; draw(); }, () => { before = {}; draw(); });

  return (view, data) => {
    rows = data;
    table.update(rows);
    draw();
  };
}
