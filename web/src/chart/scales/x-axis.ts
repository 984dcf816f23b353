// The horizontal axis of charts: steps, or the corresponding epochs, tokens or training time.
import { count, duration, shortStep } from "../../format";
import type { Series } from "../../history/curve";
import { clockTicks, linearTicks, type Ticks } from "./ticks";

export const X_KINDS = ["step", "epoch", "tokens", "time"] as const;
export type XKind = (typeof X_KINDS)[number];

/** Converts between steps and positions on the axis. */
export interface XAxis {
  kind: XKind;
  /** Whether positions are estimated from a sample of the steps. */
  isEstimate: boolean;
  at: (step: number) => number;
  stepAt: (x: number) => number;
}

const same = (value: number): number => value;
export const STEPS: XAxis = { kind: "step", isEstimate: false, at: same, stepAt: same };

/**
 * Return an axis through known positions: `x[n]` belongs to `step[n]`. Between them and beyond the last one, positions are
 * interpolated. Without two positions, the axis shows steps.
 */
export function axisThrough(kind: XKind, step: number[], x: (number | null)[], isEstimate = false): XAxis {
  const [steps, positions]: [number[], number[]] = [[], []];
  step.forEach((one, at) => {
    const position = x[at];
    if (position === null || position === undefined) return;
    // Each position is greater than the one before, so that every position belongs to one step.
    if (steps.length && (position <= positions.at(-1)! || one <= steps.at(-1)!)) return;
    steps.push(one);
    positions.push(position);
  });
  if (steps.length < 2) return STEPS;
  return {
    kind,
    isEstimate,
    at: (one) => between(steps, positions, one),
    stepAt: (one) => between(positions, steps, one),
  };
}

/** Return an axis of the tokens trained so far. If `isSampled`, steps are missing from the series and their tokens are estimated. */
export function tokenAxis(tokens: Series, isSampled: boolean): XAxis {
  let [sum, before, last] = [0, 0, 0];
  const sums = tokens.value.map((value, at) => {
    const [step, own] = [tokens.step[at]!, value ?? last];
    const missing = Math.max(0, step - before - 1);
    sum += own + (missing * (own + (at ? last : own))) / 2;
    [before, last] = [step, own];
    return sum;
  });
  return axisThrough("tokens", [0, ...tokens.step], [0, ...sums], isSampled);
}

/** Interpolate linearly between ascending positions; continue beyond the ends with the mean slope near the end. */
function between(from: number[], to: number[], value: number): number {
  const last = from.length - 1;
  if (value >= from[last]!) {
    const near = Math.max(0, Math.min(last - 1, Math.floor(last * 0.8)));
    return to[last]! + (value - from[last]!) * slope(from, to, near, last);
  }
  if (value <= from[0]!) return to[0]! + (value - from[0]!) * slope(from, to, 0, 1);
  let [low, high] = [0, last];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (from[middle]! <= value) low = middle;
    else high = middle;
  }
  return to[low]! + (value - from[low]!) * slope(from, to, low, high);
}

const slope = (from: number[], to: number[], low: number, high: number): number =>
  (to[high]! - to[low]!) / (from[high]! - from[low]!);

export function xTicks(kind: XKind, min: number, max: number, most: number): Ticks {
  if (kind === "time") return clockTicks(min, max, most);
  return linearTicks(min, max, most, kind !== "epoch");
}

/** Format a position at a tick; `increment` is the distance between ticks. */
export function formatX(kind: XKind, value: number, increment: number): string {
  if (kind === "time") return increment < 1 ? `${+value.toFixed(1)} s` : roundDuration(value, increment);
  if (kind === "epoch") return String(+value.toFixed(Math.max(0, Math.ceil(-Math.log10(increment)) + 1)));
  return shortStep(value);
}

/** Format a duration without the units that are 0 at every tick. */
function roundDuration(seconds: number, increment: number): string {
  const text = duration(seconds);
  if (seconds < increment || increment % 60) return text;
  return text.replace(/ 0( 秒|s)$/, "").replace(increment % 3600 ? "" : / 0( 分|m)$/, "");
}

/** Format the position of the cursor. */
export function exactX(axis: XAxis, value: number): string {
  const about = axis.isEstimate ? "≈ " : "";
  if (axis.kind === "time") return duration(value);
  return axis.kind === "epoch" ? value.toFixed(3) : about + count(value);
}
