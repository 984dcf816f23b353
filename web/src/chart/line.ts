// The lines of a chart: their points, the range of their values, and the value nearest to a position.
import { Series, type Value } from "../history/curve";
import { padded } from "./scales/ticks";
import type { XAxis } from "./scales/x-axis";

export interface Line {
  /** Identifies the line in the URL. */
  key: string;
  name: string;
  /** Name of the API's series that the line shows. */
  metric?: string;
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
  /** A short text next to the line. */
  label?: string;
  text: string;
}

/** The ends of a part of an axis. */
export type Range = [from: number, to: number];

/** How the values of a chart are scaled. */
export interface YScale {
  isLog: boolean;
  /** Whether the range excludes the few largest and smallest values. */
  ignoresOutliers: boolean;
  /** The minimum range, such as 0 to 100 for a load. */
  span?: Range | undefined;
}

/** Share of a line's values at each end that count as outliers. */
const OUTLIERS = 0.02;
/** A line with fewer points has no outliers. */
const MIN_POINTS = 25;

/** Copy a series into the points of a line. */
export function points(series: Series, axis: XAxis): Pick<Line, "series" | "x"> {
  return { series: new Series([...series.step], [...series.value]), x: series.step.map(axis.at) };
}

/** Return the index of the last of the ascending positions that is not greater than `x`; -1 if there is none. */
function lastUpTo(positions: number[], x: number): number {
  let [low, high] = [0, positions.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (positions[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Return the indices of the first and last of the ascending positions that are within a range. If none is, the first index is greater than the last. */
function within(positions: number[], [from, to]: Range): [first: number, last: number] {
  const at = lastUpTo(positions, from);
  return [positions[at] === from ? at : at + 1, lastUpTo(positions, to)];
}

/** Return the index of the point nearest to a position; -1 if there is none. */
function nearest(positions: number[], x: number): number {
  const low = lastUpTo(positions, x);
  const high = low + 1;
  if (low < 0 || high === positions.length) return Math.min(Math.max(low, 0), positions.length - 1);
  return x - positions[low]! <= positions[high]! - x ? low : high;
}

/** Return the point within a range that is nearest to a position; without a position, the last one; null if the range has none. */
export function pointAt(
  { x: positions, series }: Pick<Line, "series" | "x">,
  x: number | null,
  range: Range,
): { step: number; value: Value } | null {
  const [first, last] = within(positions, range);
  if (first > last) return null;
  const at = x === null ? last : Math.min(last, Math.max(first, nearest(positions, x)));
  return { step: series.step[at]!, value: series.value[at] ?? null };
}

/** Return the range of the values of all shown lines within a horizontal range, with some room around them. */
export function valueRange(lines: Line[], range: Range, scale: YScale): Range {
  const shown = lines.filter((line) => !line.hidden);
  // A segment between two points outside the range is part of the range of values only if nothing else is visible.
  const marked = shown.filter((line) => !line.dots || within(line.x, range)[0] <= within(line.x, range)[1]);
  let [min, max] = extremes(marked, range, scale);
  if (min > max) [min, max] = extremes(shown, range, scale);
  const { span } = scale;
  if (min > max) return span ?? (scale.isLog ? [0.1, 1] : [0, 1]);
  if (span && min >= span[0] && max <= span[1]) return span;
  return padded([min, max], scale.isLog);
}

function extremes(lines: Line[], range: Range, scale: YScale): Range {
  let [min, max] = [Infinity, -Infinity];
  for (const line of lines) {
    const [low, high] = ends(visibleValues(line, range, scale.isLog), scale.ignoresOutliers);
    [min, max] = [Math.min(min, low), Math.max(max, high)];
  }
  return [min, max];
}

/** Return the values of the points within a range, and those at which the line crosses its ends. */
function visibleValues(line: Line, range: Range, isLog: boolean): number[] {
  const [first, last] = within(line.x, range);
  const values = line.series.value.slice(first, last + 1);
  values.push(...range.map((x) => valueBetween(line, x, isLog)));
  return values.filter((one): one is number => isDrawn(one, isLog));
}

const isDrawn = (value: Value | undefined, isLog: boolean): value is number =>
  value !== null && value !== undefined && !(isLog && value <= 0);

/** Return the value of a line between two of its points, where it is drawn straight; null beyond its ends and in its gaps. */
function valueBetween({ x: positions, series }: Line, x: number, isLog: boolean): number | null {
  const low = lastUpTo(positions, x);
  const [before, after] = [series.value[low], series.value[low + 1]];
  if (!isDrawn(before, isLog) || !isDrawn(after, isLog)) return null;
  const share = (x - positions[low]!) / (positions[low + 1]! - positions[low]!);
  return isLog ? before * (after / before) ** share : before + (after - before) * share;
}

function ends(values: number[], ignoresOutliers: boolean): Range {
  if (ignoresOutliers && values.length >= MIN_POINTS) {
    values.sort((one, other) => one - other);
    const cut = Math.ceil(values.length * OUTLIERS);
    return [values[cut]!, values[values.length - 1 - cut]!];
  }
  return values.reduce<Range>(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, -Infinity]);
}
