// Speaks with the node. What was drawn is kept until the node has it on disk: in this page, and in the browser, so that
// neither a lost connection nor a closed page loses it. Operations have their stamps already; to send one twice is no harm.

import { keyOf } from "./board.js";

const isOperation = (operation) => Array.isArray(operation) && operation.length === 5;
const nameOf = (operation) => `${keyOf(operation)}/${keyOf(operation.slice(2))}`;
const FIRST_WAIT_MS = 300, LONGEST_WAIT_MS = 4000, BATCH_CHARACTERS = 12000, BATCH_COUNT = 200, IN_FLIGHT = 6;

export class Connection {
  // `on` has drawn, named, whole, people, hands, trouble, state, refused, untaken, again; `me` is this page, `name()` its person.
  constructor(boardName, me, name, on) {
    Object.assign(this, { boardName, me, name, on });
    this.life = "";
    this.number = 0;
    this.socket = null;
    this.isLive = false;
    this.wait_ms = FIRST_WAIT_MS;
    this.outbox = new Map(); // all that is not written yet, by stamp and birth
    this.waiting = []; // keys of those that are not sent
    this.refused = new Set();
    this.flying = new Map(); // batch -> keys
    this.batch = 0;
    this.shelf = `guthi-whiteboard/${boardName}/`;
    this.isEnded = false;
    this.ahead_s = 0; // by how much the node's clock is ahead of this one
    for (const operation of this.#left()) this.#put(operation);
    addEventListener("pagehide", () => this.#save());
    addEventListener("online", () => { this.wait_ms = FIRST_WAIT_MS; });
  }

  // What earlier pages of this browser could not send.
  #left() {
    const found = [];
    try {
      for (const key of Object.keys(localStorage))
        if (key.startsWith(this.shelf)) found.push(...JSON.parse(localStorage.getItem(key)));
    } catch { /* no storage, or none of ours in it */ }
    return found.filter(isOperation);
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = this.socket = new WebSocket(`${scheme}//${location.host}/api/whiteboard/${encodeURIComponent(this.boardName)}`);
    socket.onopen = () => {
      this.#say({ hello: { page: this.me, name: this.name(), life: this.life, number: this.number } });
    };
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => {
      this.isLive = false;
      this.flying.clear();
      this.waiting = [...this.outbox.keys()];
      this.#tellState();
      if (event.code === 1008 || event.code === 1007) this.on.refused(event.reason);
      if (this.isEnded) return;
      setTimeout(() => this.on.again(() => this.connect()), this.wait_ms);
      this.wait_ms = Math.min(this.wait_ms * 1.7, LONGEST_WAIT_MS);
    };
  }

  end() {
    this.isEnded = true;
    this.socket?.close();
  }

  get unwritten() {
    return this.outbox.size;
  }

  draw(operations) {
    for (const operation of operations) this.#put(operation);
    this.#send();
    this.#saveSoon();
    this.#tellState();
  }

  #put(operation) {
    const key = nameOf(operation);
    if (this.outbox.has(key)) return;
    this.outbox.set(key, operation);
    this.waiting.push(key);
  }

  hand(gesture) {
    if (this.isLive && this.socket.bufferedAmount < 4096) this.#say({ hand: gesture });
  }

  rename(name) {
    if (this.isLive) this.#say({ name });
  }

  #say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #send() {
    while (this.isLive && this.waiting.length && this.flying.size < IN_FLIGHT) {
      const keys = [], operations = [];
      let left = BATCH_CHARACTERS;
      while (this.waiting.length && keys.length < BATCH_COUNT) {
        const operation = this.outbox.get(this.waiting[0]);
        const size = operation ? new Blob([JSON.stringify(operation)]).size : 0;
        if (keys.length && size > left) break;
        const key = this.waiting.shift();
        if (!operation) continue;
        left -= size;
        keys.push(key);
        operations.push(operation);
      }
      if (!keys.length) return;
      this.batch += 1;
      this.flying.set(this.batch, keys);
      this.#say({ batch: this.batch, draw: operations });
    }
  }

  #hear(message) {
    if ("drawn" in message) {
      this.number = message.number;
      this.on.drawn(message.drawn);
    } else if ("written" in message) this.#written(message.written, message.refused);
    else if ("welcome" in message) this.#welcome(message.welcome);
    else if ("whole" in message) this.#whole();
    else if ("people" in message) this.on.people(message.people);
    else if ("hands" in message) this.on.hands(message.hands);
    else if ("trouble" in message) this.on.trouble(message.trouble);
  }

  // The time of the node, as far as it is known; this machine's may be years off.
  get at_s() {
    return Math.floor(Date.now() / 1000 + this.ahead_s);
  }

  #welcome({ life, board, at_s }) {
    if (life !== this.life) this.number = 0;
    this.life = life;
    this.ahead_s = at_s - Date.now() / 1000;
    if (board !== this.boardName) this.#rename(board);
    this.on.named(board);
    this.isLive = true;
    this.wait_ms = FIRST_WAIT_MS;
    this.#send(); // before all of the board has come: somebody waits for what was drawn without a connection
    this.#tellState();
  }

  // The board is called otherwise than somebody wrote: what was kept under that name belongs to it too.
  #rename(board) {
    const former = this.shelf;
    this.boardName = board;
    this.shelf = `guthi-whiteboard/${board}/`;
    try {
      for (const key of Object.keys(localStorage).filter((key) => key.startsWith(former))) {
        const name = this.shelf + key.slice(former.length);
        if (localStorage.getItem(name) === null) localStorage.setItem(name, localStorage.getItem(key));
        localStorage.removeItem(key);
      }
    } catch { /* no storage, or it is full: this page has them */ }
    for (const operation of this.#left()) this.#put(operation);
  }

  #whole() {
    this.on.whole();
    this.#saveSoon(); // what earlier pages had left may be known to be there now
    this.#tellState();
  }

  #written(batch, refused) {
    const keys = this.flying.get(batch) ?? [];
    this.flying.delete(batch);
    const untaken = refused.map(([place]) => this.outbox.get(keys[place])).filter(Boolean);
    for (const [place] of refused) this.refused.add(keys[place]);
    for (const key of keys) this.outbox.delete(key);
    if (refused.length) this.on.untaken(refused[0][1], untaken);
    this.#send();
    this.#saveSoon();
    this.#tellState();
  }

  #tellState() {
    this.on.state(this.isLive, this.outbox.size);
  }

  #saveSoon() {
    this.saving ??= setTimeout(() => this.#save(), 250);
  }

  // Once this page has them, those of earlier pages are its own.
  #save() {
    clearTimeout(this.saving);
    this.saving = null;
    const mine = this.shelf + this.me;
    try {
      if (this.outbox.size) localStorage.setItem(mine, JSON.stringify([...this.outbox.values()]));
      else localStorage.removeItem(mine);
      for (const key of Object.keys(localStorage))
        if (key.startsWith(this.shelf) && key !== mine && this.#hasAll(key)) localStorage.removeItem(key);
    } catch { /* no storage, or it is full: this page still has them */ }
  }

  // Whether nothing of another page's is left to be written: it may be open still, and then it knows best.
  #hasAll(key) {
    return !this.outbox.size && JSON.parse(localStorage.getItem(key)).filter(isOperation).every((operation) => this.refused.has(nameOf(operation)) || this.seen(operation));
  }
}
