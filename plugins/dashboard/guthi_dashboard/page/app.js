// The page: tabs that the node names, one of them open, and what it shows followed live.

import { get, post, Refused } from "/dashboard/api.js";
import { make } from "/dashboard/dom.js";
import { Live } from "/dashboard/live.js";
import { Table, filterBox } from "/dashboard/table.js";

const place = (id) => document.getElementById(id);
let open = null; // the panel that is shown: {panel, show(view, data)}
const newest = new Map(); // view -> what was last told of it
let lacksScript = false; // the node went away before the panel's script came
const live = new Live(told, (state) => {
  place("connection").textContent = state;
  place("connection").className = `mark ${state === "live" ? "good" : "warn"}`;
  if (state === "live" && lacksScript) location.reload();
}, isAdmitted);

function told(view, data) {
  newest.set(view, data);
  if (view === "nodes") summarize(data);
  if (open?.panel.views.includes(view)) open.show(view, data);
}

function summarize(nodes) {
  const me = nodes.find((node) => node.is_me);
  if (me) {
    place("node-name").textContent = me.name;
    document.title = `${me.name} · Guthi`;
  }
  const counts = new Map();
  for (const { state } of nodes) counts.set(state, (counts.get(state) ?? 0) + 1);
  place("summary").textContent = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
}

// A panel without a script of its own: a table of its view.
function plain(panel, root) {
  const table = new Table(panel.columns, { empty: `no ${panel.title.toLowerCase()}` });
  root.append(make("section", { class: "card" }, make("div", { class: "bar" }, filterBox(table)), table.element));
  return (view, data) => view === panel.views[0] && table.update(data);
}

async function choose(panel) {
  for (const tab of place("tabs").children) tab.setAttribute("aria-selected", tab.dataset.panel === panel.name);
  history.replaceState(null, "", `#${panel.name}`);
  const root = make("div", { class: "panel", id: `panel-${panel.name}` });
  root.style.display = "contents";
  live.watch([...new Set(["nodes", ...panel.views])]);
  let mount = (element) => plain(panel, element);
  try {
    if (panel.script) mount = (await import(panel.script)).mount;
    lacksScript = false;
  } catch (error) {
    lacksScript = true;
    place("panel").replaceChildren(make("section", { class: "card bad" }, `The node does not answer: ${error.message}`));
    return;
  }
  place("panel").replaceChildren(root);
  open = { panel, show: mount(root, panel) };
  for (const view of panel.views) if (newest.has(view)) open.show(view, newest.get(view));
}

// A node that was started anew does not know the cookie that its former life gave.
async function isAdmitted() {
  try {
    await get("/api/access");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      login("The node has been restarted.");
      return false;
    }
  }
  return true;
}

function login(reason) {
  const token = make("input", { type: "password", autocomplete: "current-password", placeholder: "Token", required: true, name: "token" });
  const message = make("div", { class: "message bad" }, reason ?? "");
  const form = make("form", { class: "card login" },
    make("h2", {}, "This node asks for a token"),
    make("div", { class: "faint" }, "guthi web --token --config node.toml prints it."),
    token, make("button", { class: "main" }, "Open"), message);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await post("/api/login", { token: token.value });
      start();
    } catch (error) {
      message.textContent = error.message;
    }
  });
  place("panel").replaceChildren(form);
  token.focus();
}

function theme() {
  const root = document.documentElement;
  const apply = (name) => {
    root.classList.remove("light", "dark");
    if (name) root.classList.add(name);
  };
  apply(localStorage.getItem("theme"));
  place("theme").addEventListener("click", () => {
    const isDark = root.classList.contains("dark") ||
      (!root.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
    localStorage.setItem("theme", isDark ? "light" : "dark");
    apply(localStorage.getItem("theme"));
  });
}

async function start() {
  let panels;
  try {
    panels = await get("/api/panels");
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return login();
    place("panel").replaceChildren(make("section", { class: "card bad" }, `The node does not answer: ${error.message}`));
    setTimeout(start, 3000);
    return;
  }
  place("tabs").replaceChildren(...panels.map((panel) =>
    make("button", { type: "button", role: "tab", "data-panel": panel.name, onclick: () => choose(panel) }, panel.title)));
  place("logout").hidden = (await get("/api/access")).is_open;
  place("logout").onclick = async () => {
    await post("/api/logout", {});
    location.reload();
  };
  const named = () => panels.find((panel) => `#${panel.name}` === location.hash);
  window.onhashchange = () => named() && choose(named());
  live.connect();
  await choose(named() ?? panels[0]);
}

theme();
start();
