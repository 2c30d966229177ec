// Follows views of the node over one websocket; it connects again when it is lost, and rests while nobody looks.

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 5000;

export class Live {
  // `isAdmitted` is asked before it connects again; who is not is told so by whoever answers.
  constructor(onview, onstate, isAdmitted) {
    this.onview = onview;
    this.onstate = onstate;
    this.isAdmitted = isAdmitted;
    this.views = [];
    this.socket = null;
    this.wait_ms = FIRST_WAIT_MS;
    document.addEventListener("visibilitychange", () => this.#say());
  }

  watch(views) {
    this.views = views;
    this.#say();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/api/live`);
    this.socket.onopen = () => {
      this.wait_ms = FIRST_WAIT_MS;
      this.onstate("live");
      this.#say();
    };
    this.socket.onmessage = (event) => {
      const { view, data } = JSON.parse(event.data);
      this.onview(view, data);
    };
    this.socket.onclose = () => {
      this.onstate("reconnecting");
      setTimeout(async () => { if (await this.isAdmitted()) this.connect(); }, this.wait_ms);
      this.wait_ms = Math.min(this.wait_ms * 2, LONGEST_WAIT_MS);
    };
  }

  #say() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.socket.send(JSON.stringify({ watch: document.hidden ? [] : this.views }));
  }
}
