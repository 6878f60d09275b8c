"use strict";
// Light or dark colours: those of the system, or the ones that the reader has chosen.

const THEMES = ["system", "light", "dark"];
const THEME_KEY = "gcd-hpc-theme";

function connectTheme(button) {
  const show = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    dispatchEvent(new Event("themechange"));
  };
  let theme = "system";
  // A browser may refuse to keep anything, for pages from the disk above all.
  try { theme = localStorage.getItem(THEME_KEY) || theme; } catch { /* the system's theme */ }
  if (!THEMES.includes(theme)) theme = "system";
  show(theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try { localStorage.setItem(THEME_KEY, theme); } catch { /* for this visit only */ }
    show(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
}

// Value of a colour of the style sheet in the present theme.
function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function isDark() {
  return themed("--is-dark") === "1";
}
