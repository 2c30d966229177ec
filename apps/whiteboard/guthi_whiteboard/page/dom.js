// Makes icons, and finds and tells what stands in the page.

export { make } from "/web/make.js";

export function icon(path, attributes = {}) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  for (const each of path.split("|")) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", each);
    svg.append(line);
  }
  return svg;
}

export const place = (id) => document.getElementById(id);

let noticeTimer = 0;
export function notice(text, ms = 3500) {
  place("notice").textContent = text;
  place("notice").classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => place("notice").classList.remove("shown"), ms);
}

// Take a notice away that is not true any more.
export function quiet(beginning) {
  if (place("notice").textContent.startsWith(beginning)) place("notice").classList.remove("shown");
}

export const ICONS = {
  select: "M5 3l14 8-6 2-3 6z",
  hand: "M8 12V5.5a1.5 1.5 0 013 0V11V4.5a1.5 1.5 0 013 0V11V6a1.5 1.5 0 013 0v7c0 5-2 8-6 8s-5-2-8-7c-.7-1.3 1-2.500 2.200-1.300L8 15",
  pen: "M4 20l1-4L16.500 4.500a2.100 2.100 0 013 3L8 19z|M14 7l3 3",
  highlighter: "M9 15l-3 3v2h5l1.500-2|M9 15l4 4 7-9-4-5z",
  line: "M5 19L19 5",
  arrow: "M5 19L19 5|M10 5h9v9",
  rectangle: "M4 6h16v12H4z",
  ellipse: "M12 5c5 0 9 3 9 7s-4 7-9 7-9-3-9-7 4-7 9-7z",
  text: "M5 7V5h14v2|M12 5v14|M9 19h6",
  eraser: "M8 20h12|M5.500 14.500l9-9a2 2 0 013 0l2.500 2.500a2 2 0 010 3L11 20H8l-2.500-2.500a2 2 0 010-3z|M10 10l5.500 5.500",
  undo: "M9 7L4 12l5 5|M4 12h10a6 6 0 016 6",
  redo: "M15 7l5 5-5 5|M20 12H10a6 6 0 00-6 6",
  plus: "M12 6v12|M6 12h12",
  minus: "M6 12h12",
  menu: "M4 7h16|M4 12h16|M4 17h16",
  picture: "M4 5h16v14H4z|M4 16l5-5 4 4 3-2 4 4",
  vector: "M5 19c0-9 5-14 14-14|M3 17h4v4H3z|M17 3h4v4h-4z",
  trash: "M5 7h14|M10 7V4h4v3|M7 7l1 13h8l1-13",
  theme: "M12 4a8 8 0 108 8 6 6 0 01-8-8z",
  fit: "M4 9V4h5|M20 9V4h-5|M4 15v5h5|M20 15v5h-5",
  keys: "M3 7h18v10H3z|M7 11h.01|M11 11h.01|M15 11h.01|M8 14h8",
  person: "M12 12a4 4 0 100-8 4 4 0 000 8z|M4 21c1-5 4-7 8-7s7 2 8 7",
  palette: "M12 4c-5 0-9 3.500-9 8s4 8 8 8c2 0 1-2.500 2.500-3.500S21 16 21 12s-4-8-9-8z|M8 10h.01|M12 8h.01|M16 10h.01",
  none: "M6 6h12v12H6z",
};
