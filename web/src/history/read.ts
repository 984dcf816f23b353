// Reads a job's history from the API into a Curve: the whole run downsampled to a few points, a range in full detail,
// or the points after a cursor.
import { call, get, withQuery } from "../api";
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
  /** Seconds since 1970. */
  at?: number[] | null;
  points?: number;
}

interface MetricsResponse {
  names: string[];
  series: Record<string, Columns>;
  attempts: { first_step: number | null }[];
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

/** The values of one step by series. */
export interface StepValues {
  step: number;
  values: ReadonlyMap<string, Value>;
}

/** Read all values of one step. */
export async function readStep(id: string, step: number, signal: AbortSignal): Promise<StepValues> {
  const path = withQuery(`/v1/jobs/${id}/metrics`, { from_step: step, to_step: step });
  const { series } = await call<MetricsResponse>("GET", path, { signal });
  const values = new Map<string, Value>();
  for (const [name, columns] of Object.entries(series))
    if (columns.step[0] === step) values.set(name, columns.value[0] ?? null);
  return { step, values };
}

/** Steps in ascending order, and the seconds of training until each. */
export interface Times {
  step: number[];
  seconds: number[];
}

/**
 * Read how long the job had trained at each step. Only the steps of the curve count, not the time for loading the
 * model, waiting between attempts or repeating steps. The times come from the worker, so its clock does not have to agree with the server's.
 */
export async function readTimes(id: string): Promise<Times> {
  const answer = await metrics(id, { names: "loss,eval_loss", times: "true" });
  const at = new Map<number, number>();
  // A step's loss is older than the evaluation after the step.
  for (const name of ["eval_loss", "loss"])
    answer.series[name]?.step.forEach((step, n) => at.set(step, answer.series[name]!.at?.[n] ?? NaN));
  const step = [...at.keys()].sort((one, other) => one - other);
  const starts = answer.attempts.slice(1).flatMap((attempt) => attempt.first_step ?? []);
  let [sum, pace] = [0, 0];
  const seconds = step.map((one, n) => {
    if (n === 0) return 0;
    const before = step[n - 1]!;
    // Between attempts, the steps take as long as those before them.
    if (!starts.some((start) => before < start && start <= one))
      pace = Math.max(0, at.get(one)! - at.get(before)!) / (one - before);
    return (sum += pace * (one - before));
  });
  return { step, seconds };
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
