// The jobs that the reader has selected. The URL stores their ids, so that the selection outlives filters, pages and reloads.
import { query, setQuery } from "../router";

/** Maximum number of jobs in a comparison. */
export const MOST_COMPARED = 12;

export function selectedIds(): string[] {
  return [...new Set((query.value.get("ids") ?? "").split(",").filter(Boolean))];
}

export function select(ids: string[]): void {
  setQuery({ ids: ids.join(",") });
}

/** Add a job to the selection, or remove it. */
export function toggleSelected(id: string): void {
  const ids = selectedIds();
  select(ids.includes(id) ? ids.filter((one) => one !== id) : [...ids, id]);
}
