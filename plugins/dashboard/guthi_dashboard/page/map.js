// Draws who is connected to whom: nodes on a circle, a line for each session that either end tells of.

import { inSvg, tone } from "./dom.js";

const SIZE = 480;
const MOST_NAMES = 40;
const MOST_LINES = 3000; // a browser that is to draw a hundred thousand does nothing else

// How many there are: one that both ends tell of is one.
export function countSessions(links) {
  const told = new Map(links.map(({ id, peers }) => [id, new Set(peers)]));
  return links.reduce((sum, { id, peers }) => peers.reduce((so, peer) => so + (told.get(peer)?.has(id) ? 0.5 : 1), sum), 0);
}

export function drawMap(nodes, links) {
  const places = new Map();
  nodes.forEach((node, index) => {
    const angle = (2 * Math.PI * index) / nodes.length - Math.PI / 2;
    const radius = nodes.length > 1 ? SIZE / 2 - 46 : 0;
    places.set(node.id, [SIZE / 2 + radius * Math.cos(angle), SIZE / 2 + radius * Math.sin(angle), angle]);
  });
  const drawn = new Set(), missed = new Set();
  const picture = inSvg("svg", { class: "map", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
  picture.append(inSvg("title", {}, "Who is connected to whom"));
  for (const { id, peers } of links) {
    for (const peer of peers) {
      const key = id < peer ? `${id} ${peer}` : `${peer} ${id}`;
      if (drawn.has(key) || !places.has(id) || !places.has(peer)) continue;
      if (drawn.size === MOST_LINES) { missed.add(key); continue; }
      drawn.add(key);
      const [[x1, y1], [x2, y2]] = [places.get(id), places.get(peer)];
      picture.append(inSvg("line", { x1, y1, x2, y2, "data-link": key }));
    }
  }
  const radius = nodes.length > MOST_NAMES ? 4 : 8;
  for (const node of nodes) {
    const [x, y, angle] = places.get(node.id);
    const dot = inSvg("circle", { cx: x, cy: y, r: node.is_me ? radius * 1.4 : radius }, inSvg("title", {}, `${node.name}: ${node.state}`));
    const group = inSvg("g", { class: tone(node.state) }, dot);
    if (nodes.length <= MOST_NAMES) {
      group.append(inSvg("text", { x: x + 24 * Math.cos(angle), y: y + 22 * Math.sin(angle) + 4 }, node.name));
    }
    picture.append(group);
  }
  if (missed.size) picture.append(inSvg("text", { x: SIZE / 2, y: SIZE - 4 }, `${MOST_LINES} of ${MOST_LINES + missed.size} sessions are drawn`));
  return picture;
}
