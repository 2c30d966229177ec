// Who this page is: a name for the network that nobody else has, and one for people.

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const QUALITIES = ["Quiet", "Brave", "Merry", "Clever", "Gentle", "Swift", "Sunny", "Curious", "Patient", "Lively"];
const ANIMALS = ["Otter", "Heron", "Badger", "Lynx", "Robin", "Hare", "Marten", "Crane", "Fox", "Wren"];

export function newPage() {
  const bytes = crypto.getRandomValues(new Uint8Array(13));
  return Array.from(bytes, (byte) => LETTERS[byte & 31]).join("");
}

const any = (words) => words[crypto.getRandomValues(new Uint8Array(1))[0] % words.length];

export function personName() {
  const name = localStorage.getItem("guthi-whiteboard-name") ?? `${any(QUALITIES)} ${any(ANIMALS)}`;
  rememberName(name);
  return name;
}

export function rememberName(name) {
  localStorage.setItem("guthi-whiteboard-name", name);
}
