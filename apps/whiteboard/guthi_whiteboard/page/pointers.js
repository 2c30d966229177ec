// Which movements of mice, fingers and pens go to the tool, and which move or zoom the paper. One finger draws, two move
// and pinch; once a pen was seen, fingers only move, for the hand that holds it lies on the paper.

const LINE_PIXELS = 32, PEN_MS = 20000;

export class Pointers {
  constructor(stage, camera, tool, onhover) {
    Object.assign(this, { stage, camera, tool, onhover });
    this.down = new Map();
    this.active = null;
    this.penAt = -Infinity;
    this.isSpace = false;
    this.pinch = null;
    const listen = (name, handler) => stage.addEventListener(name, handler, { passive: false });
    listen("pointerdown", (event) => this.#down(event));
    listen("pointermove", (event) => this.#move(event));
    listen("pointerup", (event) => this.#up(event, false));
    listen("pointercancel", (event) => this.#up(event, true));
    listen("wheel", (event) => this.#wheel(event));
    listen("contextmenu", (event) => event.preventDefault());
  }

  cancel() {
    if (this.active) this.active.tool?.cancel();
    this.active = null;
  }

  #point(event) {
    const [x, y] = this.camera.unit(event.clientX, event.clientY);
    const pressure = event.pointerType === "pen" && event.pressure > 0 ? Math.round(event.pressure * 100) : null;
    return { x, y, pressure, shift: event.shiftKey, screenX: event.clientX, screenY: event.clientY };
  }

  #down(event) {
    if (event.target.closest?.(".writing")) return;
    document.activeElement?.blur?.();
    this.stage.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, event);
    const fingers = this.#fingers().length;
    if (event.pointerType === "pen") {
      this.penAt = event.timeStamp;
      if (fingers) this.cancel(); // it was the hand that holds the pen
      this.pinch = null;
    } else if (fingers && fingers < this.down.size) return; // beside a pen
    else if (fingers === 2) {
      this.cancel();
      this.pinch = this.#spread();
      return;
    }
    if (this.active || fingers > 2) return;
    const isPan = event.button === 1 || event.button === 2 || this.isSpace ||
      (event.pointerType === "touch" && event.timeStamp - this.penAt < PEN_MS);
    const tool = isPan ? null : this.tool();
    this.active = { id: event.pointerId, tool, last: event };
    tool?.begin(this.#point(event));
    this.onhover(this.#point(event));
  }

  #move(event) {
    if (this.down.has(event.pointerId)) this.down.set(event.pointerId, event);
    if (this.pinch && this.#fingers().length === 2) {
      const now = this.#spread();
      this.camera.pan(now.x - this.pinch.x, now.y - this.pinch.y);
      if (this.pinch.far > 0) this.camera.zoom(now.far / this.pinch.far, now.x, now.y);
      this.pinch = now;
      return;
    }
    if (this.active?.id === event.pointerId) {
      const { tool, last } = this.active;
      if (tool === null) this.camera.pan(event.clientX - last.clientX, event.clientY - last.clientY);
      else for (const each of this.#all(event)) tool.move(this.#point(each));
      this.active.last = event;
    }
    this.onhover(this.#point(event));
  }

  // Those between two frames as well: lines are smoother for them.
  #all(event) {
    const all = event.getCoalescedEvents?.() ?? [];
    return all.length ? all : [event];
  }

  #up(event, isCancelled) {
    this.down.delete(event.pointerId);
    if (this.#fingers().length < 2) this.pinch = null;
    if (this.active?.id !== event.pointerId) return;
    const { tool } = this.active;
    this.active = null;
    if (isCancelled) tool?.cancel();
    else tool?.end(this.#point(event));
    this.onhover(this.#point(event));
  }

  #fingers() {
    return [...this.down.values()].filter(({ pointerType }) => pointerType === "touch");
  }

  #spread() {
    const [a, b] = this.#fingers();
    return {
      x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2,
      far: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY),
    };
  }

  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? LINE_PIXELS : 1;
    if (event.ctrlKey || event.metaKey) {
      this.camera.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY * unit)) / 130), event.clientX, event.clientY);
    } else if (event.shiftKey && !event.deltaX) this.camera.pan(-event.deltaY * unit, 0);
    else this.camera.pan(-event.deltaX * unit, -event.deltaY * unit);
  }
}
