// The tab Self: who this node is, and how it is configured.

import { make, seconds } from "/dashboard/dom.js";

const TITLES = {
  name: "Name", id: "Id", addresses: "Addresses", listens_on: "Listens on", zone: "Zone", role: "Role",
  public_key: "Public key", cluster_keys: "Cluster keys", plugins: "Plugins", uptime_s: "Up for",
  incarnation: "Incarnation", guthi: "Guthi", python: "Python", process: "Process",
};

export function mount(root) {
  const about = make("dl"), config = make("div", { class: "pair" });
  root.append(make("section", { class: "card" }, make("h2", {}, "This node"), about), config);

  return (view, data) => {
    about.replaceChildren(...Object.entries(TITLES).flatMap(([key, title]) => pair(title, key === "uptime_s" ? seconds(data[key]) : data[key])));
    config.replaceChildren(...Object.entries(data.config).map(([name, table]) =>
      make("section", { class: "card" }, make("h2", {}, `[${name}]`), make("dl", {}, ...Object.entries(table).flatMap(([key, value]) => pair(key, value))))));
  };
}

function pair(title, value) {
  return [make("dt", {}, title), make("dd", {}, written(value))];
}

function written(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return value.map(written).join(", ") || "–";
  if (typeof value === "object") return Object.entries(value).map(([key, each]) => `${key} ${written(each)}`).join(", ") || "–";
  return String(value);
}
