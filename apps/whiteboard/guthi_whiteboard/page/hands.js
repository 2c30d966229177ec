// The hands of others: where they are, what they are just drawing, and who is here at all.

import { place, make, icon } from "./dom.js";
import { paint } from "./paint.js";
import { boxOf } from "./geometry.js";

const IDLE_MS = 8000, GONE_MS = 60000;

export function colourOf(page) {
  let hash = 7;
  for (const letter of page) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  return `hsl(${hash % 360} 62% ${42 + (hash >> 9) % 10}%)`;
}

export const initials = (name) =>
  name.split(/\s+/).map((word) => [...word][0] ?? "").slice(0, 2).join("").toUpperCase() || "?";

export class Hands {
  constructor(me, camera, onchange) {
    Object.assign(this, { me, camera, onchange });
    this.hands = new Map();
    this.people = [];
  }

  setPeople(people) {
    this.people = people;
    const here = new Set(people.map(({ page }) => page));
    for (const [page, hand] of this.hands) {
      if (here.has(page)) hand.label.textContent = this.#name(page);
      else this.#forget(page, hand);
    }
    this.onchange();
  }

  #name(page) {
    return this.people.find((person) => person.page === page)?.name ?? "somebody";
  }

  #forget(page, hand) {
    hand.element.remove();
    this.hands.delete(page);
  }

  told(gestures) {
    for (const [page, { at, draft }] of Object.entries(gestures)) {
      const hand = this.hands.get(page) ?? this.#make(page);
      hand.at = at;
      hand.moved = performance.now();
      hand.draft = draft ? this.#grown(hand.draft, draft) : null;
    }
    this.onchange();
  }

  // A draft with the points that are new.
  #grown(before, draft) {
    if (!draft.points) return draft;
    const fresh = [];
    let x = 0, y = 0;
    for (let i = 0; i < draft.points.length; i += 2) fresh.push(x += draft.points[i], y += draft.points[i + 1]);
    const places = before?.places && draft.from > 0 ? before.places.slice(0, 2 * draft.from) : [];
    places.push(...fresh);
    const steps = places.map((each, i) => i < 2 ? each : each - places[i - 2]);
    return { ...draft, places, points: steps };
  }

  // Somebody's stroke is on the board: what they were drawing is done.
  finished(page) {
    const hand = this.hands.get(page);
    if (hand) hand.draft = null;
  }

  #make(page) {
    const label = make("span", {}, this.#name(page));
    const arrow = icon("M4 3l16 8-7 2-3 7z");
    const element = make("div", { class: "cursor" }, arrow, label);
    arrow.style.fill = label.style.background = colourOf(page);
    arrow.style.stroke = "#fff";
    place("cursors").append(element);
    const hand = { element, label, at: [0, 0], draft: null, moved: 0 };
    this.hands.set(page, hand);
    return hand;
  }

  // Put the cursors where they are.
  show() {
    const now = performance.now();
    for (const [page, hand] of this.hands) {
      if (now - hand.moved > GONE_MS) { this.#forget(page, hand); continue; }
      const [x, y] = this.camera.screen(...hand.at);
      hand.element.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
      hand.element.classList.toggle("idle", now - hand.moved > IDLE_MS);
    }
  }

  paintDrafts(ctx, isDark, pixel) {
    for (const { draft } of this.hands.values())
      if (draft) paint(ctx, draft, isDark, pixel, boxOf(draft));
  }
}
