// Language and theme: the browser's, until the reader changes them.
import { computed, effect, signal } from "@preact/signals";

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

function load(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // the browser may block storage; the choice is then lost when the page is closed
  }
}

function save(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // see load()
  }
}

const parameters = new URLSearchParams(location.search);
const firstLanguage = parameters.get("lang") ?? load("language") ?? navigator.language;
export const language = signal<Language>(firstLanguage.toLowerCase().startsWith("zh") ? "zh" : "en");
const firstTheme = parameters.get("theme") ?? load("theme");
export const theme = signal<Theme>(firstTheme === "light" || firstTheme === "dark" ? firstTheme : "auto");

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", (event) => (systemDark.value = event.matches));
export const isDark = computed(() => theme.value === "dark" || (theme.value === "auto" && systemDark.value));

effect(() => {
  document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
  save("language", language.value);
});
effect(() => {
  document.documentElement.style.colorScheme = theme.value === "auto" ? "light dark" : theme.value;
  save("theme", theme.value);
});
