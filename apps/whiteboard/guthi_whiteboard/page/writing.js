// Text while it is being written: a field on the board, as large and as coloured as the text will be.

import { make, place } from "./dom.js";
import { inks } from "./paint.js";
import { LINE_HEIGHT } from "./geometry.js";

const MOST = 2000;

export class Writing {
  // `done(text)` is told what was written, perhaps nothing.
  constructor(camera, value, isDark, done) {
    Object.assign(this, { camera, value, done });
    this.field = make("textarea", {
      class: "writing", value: value.text, maxLength: MOST, rows: 1, spellcheck: false, "aria-label": "Text",
      oninput: () => this.fit(), onblur: () => this.#end(), onkeydown: (event) => this.#key(event),
    });
    this.field.style.color = inks(isDark)[value.colour];
    place("stage").append(this.field);
    this.fit();
    this.field.focus();
    this.field.select();
  }

  fit() {
    const { style } = this.field, [x, y] = this.camera.screen(...this.value.at);
    style.fontSize = `${this.value.size * this.camera.scale}px`;
    style.lineHeight = LINE_HEIGHT;
    style.transform = `translate(${x}px, ${y}px)`;
    style.width = style.height = "0";
    style.width = `${this.field.scrollWidth + this.value.size * this.camera.scale}px`;
    style.height = `${this.field.scrollHeight}px`;
  }

  #key(event) {
    event.stopPropagation();
    if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      this.field.blur();
    }
  }

  #end() {
    if (this.isOver) return;
    this.isOver = true;
    const text = this.field.value.replace(/[ \t]+$/gm, "").replace(/\0/g, "").toWellFormed?.() ?? this.field.value;
    this.field.remove();
    this.done(text.trim() ? text.replace(/\s+$/, "") : "");
  }
}
