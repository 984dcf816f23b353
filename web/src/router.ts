// The path and the query of the address. All view state is kept there, so that a reload or a shared link shows the same.
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

/** Change some names of the query; null removes one. */
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

/** Follow links to the site's pages without loading the document again; links within a page are left to the browser. */
export function followLinks(event: MouseEvent): void {
  const link = (event.target as Element).closest?.("a");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.hash || link.hasAttribute("download")) return;
  if (!/^\/($|jobs\/|compare$|new$|workers$|docs$)/.test(link.pathname)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
