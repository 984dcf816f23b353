// The lines of a chart: their points, the range of their values, and the value nearest to a position.
import { Series, type Value } from "../curve";
import { padded } from "./ticks";
import type { XAxis } from "./x-axis";

export interface Line {
  /** Identifies the line in the URL. */
  key: string;
  name: string;
  series: Series;
  /** Positions of the points on the horizontal axis, ascending. */
  x: number[];
  /** Name of a CSS variable. */
  color: string;
  width?: number;
  opacity?: number;
  dots?: boolean;
  hidden?: boolean;
}

/** Something that happened at a position: a vertical line for an attempt, a triangle for a checkpoint, a diamond for a warning. */
export interface Mark {
  kind: "attempt" | "checkpoint" | "warning";
  step: number;
  x: number;
  /** A short text beside the line. */
  label?: string;
  text: string;
}

/** How the values of a chart are scaled. */
export interface YScale {
  isLog: boolean;
  /** Whether the few largest and smallest values do not widen the range. */
  ignoresOutliers: boolean;
  /** The minimum range, such as 0 to 100 for a load. */
  span?: [number, number] | undefined;
}

/** Share of a line's values at each end that count as outliers. */
const OUTLIERS = 0.02;
/** A line with fewer points has no outliers. */
const MIN_POINTS = 25;

/** Copy a series into the points of a line. */
export function points(series: Series, axis: XAxis): Pick<Line, "series" | "x"> {
  return { series: new Series([...series.step], [...series.value]), x: series.step.map(axis.at) };
}

/** Return the index of the point nearest to a position; -1 if there is none. */
export function nearest(positions: number[], x: number): number {
  let [low, high] = [0, positions.length - 1];
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (positions[middle]! <= x) low = middle;
    else high = middle;
  }
  return x - positions[low]! <= positions[high]! - x ? low : high;
}

/** Return the point of a line nearest to a position; null if the line has none. */
export function pointAt(line: Pick<Line, "series" | "x">, x: number): { step: number; value: Value } | null {
  const at = nearest(line.x, x);
  return at < 0 ? null : { step: line.series.step[at]!, value: line.series.value[at] ?? null };
}

/** Return the range of the values of all shown lines within a horizontal range, with some room around them. */
export function valueRange(lines: Line[], [from, to]: [number, number], scale: YScale): [number, number] {
  let [min, max] = [Infinity, -Infinity];
  for (const line of lines) {
    if (line.hidden) continue;
    const [low, high] = ends(visibleValues(line, from, to, scale.isLog), scale.ignoresOutliers);
    [min, max] = [Math.min(min, low), Math.max(max, high)];
  }
  const { span } = scale;
  if (min > max) return span ?? (scale.isLog ? [0.1, 1] : [0, 1]);
  if (span && min >= span[0] && max <= span[1]) return span;
  return padded([min, max], scale.isLog);
}

function visibleValues(line: Line, from: number, to: number, isLog: boolean): number[] {
  const found: number[] = [];
  line.x.forEach((x, at) => {
    const value = line.series.value[at];
    if (x >= from && x <= to && value !== null && value !== undefined && !(isLog && value <= 0)) found.push(value);
  });
  if (found.length > 0 || !line.x.length || line.dots) return found;
  // No point is visible, but the line between the nearest two is.
  const around = [nearest(line.x, from), nearest(line.x, to)].map((at) => line.series.value[at] ?? NaN);
  return around.filter((one) => Number.isFinite(one) && !(isLog && one <= 0));
}

function ends(values: number[], ignoresOutliers: boolean): [number, number] {
  if (ignoresOutliers && values.length >= MIN_POINTS) {
    values.sort((one, other) => one - other);
    const cut = Math.ceil(values.length * OUTLIERS);
    return [values[cut]!, values[values.length - 1 - cut]!];
  }
  return values.reduce<[number, number]>(
    ([low, high], one) => [Math.min(low, one), Math.max(high, one)],
    [Infinity, -Infinity],
  );
}
