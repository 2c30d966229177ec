// Asks the node. What it refuses is an error with its own words; a missing token is told apart.

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.ok) return answer;
  let message = `${answer.status} ${answer.statusText}`;
  try {
    const said = await answer.json();
    message = said.message ?? said.detail?.[0]?.msg ?? message;
    if (said.error && said.error !== "Refused") message = `${said.error}: ${message}`;
  } catch { /* no JSON: the status has to do */ }
  throw new Refused(message, answer.status);
}

export const get = async (path) => (await ask(path)).json();

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
