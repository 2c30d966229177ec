// Writes values, and makes the elements that show them.

import { make } from "/web/make.js";

export { make };

export function inSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function bytes(value) {
  if (value === null || value === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let step = 0;
  while (value >= 1024 && step < units.length - 1) { value /= 1024; step += 1; }
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.1 ? 1 : 0)} ms`;
  if (value < 60) return `${value < 10 ? Number(value).toFixed(1) : Math.round(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

export function clock(at_s) {
  return new Date(at_s * 1000).toLocaleTimeString([], { hour12: false });
}

const TONES = { alive: "good", suspect: "warn", failed: "bad", left: "faint", error: "bad", warning: "warn", info: "faint" };

export const tone = (word) => TONES[word] ?? "faint";

export function mark(word) {
  return make("span", { class: `mark ${tone(word)}` }, word);
}

// A figure that is to be seen from afar, and what it is of.
export function tile(title, value, note = "", tone = "") {
  return make("div", { class: "card tile" }, make("div", { class: "faint" }, title), make("div", { class: `figure ${tone}` }, value), make("div", { class: "faint" }, note));
}

export function meter(percent) {
  const fill = make("i");
  fill.style.width = `${Math.max(0, Math.min(100, percent))}%`;
  if (percent >= 85) fill.style.background = "var(--bad)";
  else if (percent >= 60) fill.style.background = "var(--warn)";
  return make("span", {}, make("span", { class: "meter" }, fill), `${Math.round(percent)} %`);
}
