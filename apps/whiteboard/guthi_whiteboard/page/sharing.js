// Tells others of this page's hand, some thirty times a second while it moves: where it is, and what is new of its stroke.

const EVERY_MS = 33, MOST_POINTS = 40, MOST_LETTERS = 700, FARTHEST = 1e9; // the last two as gestures.py has them

export class Sharing {
  constructor(connection) {
    this.connection = connection;
    this.sentAt = 0;
    this.timer = 0;
    this.told = 0; // how many points of the stroke others have
  }

  moved({ x, y }, tool) {
    this.at = [x, y].map((each) => Math.round(Math.max(-FARTHEST, Math.min(FARTHEST, each))));
    this.tool = tool;
    const wait_ms = this.sentAt + EVERY_MS - performance.now();
    if (wait_ms <= 0) this.#send();
    else this.timer ||= setTimeout(() => this.#send(), wait_ms);
  }

  #send() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.sentAt = performance.now();
    const draft = this.tool?.draft ?? null;
    if (draft === null) this.told = 0;
    const gesture = draft === null ? { at: this.at } : { at: this.at, draft: this.#news(draft) };
    this.connection.hand(JSON.stringify(gesture).length > MOST_LETTERS ? { at: this.at } : gesture);
  }

  #news(draft) {
    if (!draft.points) return draft;
    const { kind, colour, width } = draft, count = draft.points.length / 2;
    if (this.told > count) this.told = 0;
    const from = Math.max(this.told, count - MOST_POINTS);
    let x = 0, y = 0;
    for (let i = 0; i <= 2 * from && i < draft.points.length; i += 2) { x += draft.points[i]; y += draft.points[i + 1]; }
    this.told = count;
    if (from >= count) return { kind, colour, width, from: Math.max(0, count - 1), points: [x, y] };
    return { kind, colour, width, from, points: [x, y, ...draft.points.slice(2 * from + 2)] };
  }
}
