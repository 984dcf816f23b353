// The path and the query of the URL. All view state is in them, so a reload or a shared link shows the same view.
import { computed, signal } from "@preact/signals";

const href = signal(location.pathname + location.search);
export const path = computed(() => new URL(href.value, location.origin).pathname);
export const query = computed(() => new URL(href.value, location.origin).searchParams);

addEventListener("popstate", () => (href.value = location.pathname + location.search));

/** Show another page of the site. */
export function go(to: string): void {
  history.pushState(null, "", to);
  href.value = to;
  scrollTo(0, 0);
}

/** Set parameters of the query; null or an empty string removes one. */
export function setQuery(changes: Record<string, string | null>, push = false): void {
  const url = new URL(href.value, location.origin);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  const to = url.pathname + url.search;
  if (to === href.value) return;
  if (push) history.pushState(null, "", to);
  else history.replaceState(null, "", to);
  href.value = to;
}

/** Open links to the site's pages without reloading the document. The browser handles all other links. */
export function followLinks(event: MouseEvent): void {
  const link = (event.target as Element).closest?.("a");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.hash || link.hasAttribute("download")) return;
  if (!/^\/($|jobs\/|compare$|new$|datasets$|workers$|docs$)/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
