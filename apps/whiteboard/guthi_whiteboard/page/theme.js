// Light or dark: as the system says, unless somebody has chosen.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
let tell = () => {};

function apply() {
  root.classList.remove("light", "dark");
  const chosen = localStorage.getItem("theme");
  if (chosen) root.classList.add(chosen);
}

// Whether it is dark just now; `onchange` is called when that is different.
export function theme(onchange) {
  tell = onchange;
  apply();
  system.addEventListener("change", () => tell());
  return () => root.classList.contains("dark") || (!root.classList.contains("light") && system.matches);
}

export function toggleTheme(isDark) {
  localStorage.setItem("theme", isDark ? "light" : "dark");
  apply();
  tell();
}
