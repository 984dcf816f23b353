// Language and theme: those of the browser until the reader chooses others.
import { computed, effect, signal } from "@preact/signals";

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage may be forbidden; the choice then lasts as long as the page
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // see kept()
  }
}

const asked = new URLSearchParams(location.search);
const firstLanguage = asked.get("lang") ?? kept("language") ?? navigator.language;
export const language = signal<Language>(firstLanguage.toLowerCase().startsWith("zh") ? "zh" : "en");
const firstTheme = asked.get("theme") ?? kept("theme");
export const theme = signal<Theme>(firstTheme === "light" || firstTheme === "dark" ? firstTheme : "auto");

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", (event) => (systemDark.value = event.matches));
export const isDark = computed(() => theme.value === "dark" || (theme.value === "auto" && systemDark.value));

effect(() => {
  document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
  keep("language", language.value);
});
effect(() => {
  document.documentElement.style.colorScheme = theme.value === "auto" ? "light dark" : theme.value;
  keep("theme", theme.value);
});
