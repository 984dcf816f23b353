// The jobs that the reader has selected. The URL stores their ids, so that the selection survives changes of filters and pages, and reloads.
import { signal } from "@preact/signals";
import { query, setQuery } from "../router";

/** Maximum number of jobs in a comparison. */
export const MOST_COMPARED = 12;

/** A larger selection is kept in memory, because a URL with hundreds of ids would be too long for the server. */
const MOST_IN_URL = 50;
const large = signal<string[]>([]);

export function selectedIds(): string[] {
  const ids = [...new Set((query.value.get("ids") ?? "").split(",").filter(Boolean))];
  return ids.length ? ids : large.value;
}

export function select(ids: string[]): void {
  const isLarge = ids.length > MOST_IN_URL;
  large.value = isLarge ? ids : [];
  setQuery({ ids: isLarge ? null : ids.join(",") });
}

/** Add a job to the selection, or remove it. */
export function toggleSelected(id: string): void {
  const ids = selectedIds();
  select(ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]);
}
