// Reads a job's history from the API into a Curve: the whole run downsampled to a few points, a range in full detail,
// or the points after a cursor.
import { get, withQuery } from "./api";
import { Curve, Series, type Value } from "./curve";

/** Maximum number of points per series in a plot. */
export const MAX_POINTS = 2000;

export interface Range {
  from: number;
  to: number;
}

export interface Columns {
  step: number[];
  value: Value[];
  points?: number;
}

interface MetricsResponse {
  names: string[];
  series: Record<string, Columns>;
  ghosts: { attempt: number; series: Record<string, Columns> }[] | null;
  rewind_to_step: number | null;
  has_more: boolean;
  cursor: string;
  poll_after_seconds: number | null;
}

const metrics = (id: string, query: Parameters<typeof withQuery>[1]): Promise<MetricsResponse> =>
  get<MetricsResponse>(withQuery(`/v1/jobs/${id}/metrics`, query));

/** Read the run, or a range of its steps, into a new curve; also return the cursor to continue from. */
export async function readCurve(
  id: string,
  range: Range | null = null,
  maxPoints = MAX_POINTS,
  names: string | null = null,
): Promise<{ curve: Curve; cursor: string }> {
  const answer = await metrics(id, {
    max_points: maxPoints,
    ghosts: names === null ? "true" : null,
    from_step: range?.from,
    to_step: range?.to,
    names,
  });
  const curve = new Curve();
  for (const [name, columns] of Object.entries(answer.series)) curve.put(name, columns.step, columns.value);
  for (const ghost of answer.ghosts ?? []) {
    const loss = ghost.series.loss;
    if (loss?.step.length) curve.ghosts.push(new Series(loss.step, loss.value));
  }
  curve.total = answer.series.loss?.points ?? 0;
  return { curve, cursor: answer.cursor };
}

/** Add the points after the cursor; return the new cursor and the seconds to wait before the next request. */
export async function readNewPoints(
  id: string,
  curve: Curve,
  since: string,
): Promise<{ cursor: string; changed: boolean; waitSeconds: number | null }> {
  let cursor = since;
  let changed = false;
  for (;;) {
    const answer = await metrics(id, { since: cursor });
    if (answer.rewind_to_step !== null) curve.rewind(answer.rewind_to_step);
    changed = addColumns(curve, answer.series) || changed || answer.rewind_to_step !== null;
    cursor = answer.cursor;
    if (!answer.has_more) return { cursor, changed, waitSeconds: answer.poll_after_seconds };
  }
}

/** Add the columns of a response or a stream frame; return whether there were any points. */
export function addColumns(curve: Curve, series: Record<string, Columns>): boolean {
  let changed = false;
  for (const [name, columns] of Object.entries(series)) {
    const held = curve.of(name);
    columns.step.forEach((step, at) => held.add(step, columns.value[at] ?? null));
    if (name === "loss") curve.total += columns.step.length;
    changed ||= columns.step.length > 0;
  }
  return changed;
}
