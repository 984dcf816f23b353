// The step under the cursor, and the values that belong to it. Each series is downsampled separately, so the curve of a long run
// usually lacks most values of any one step; they are read when the pointer rests.
import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import { type Line, pointAt, type Range } from "../../../chart/line";
import type { Cursor } from "../../../chart/plot-props";
import type { XAxis } from "../../../chart/scales/x-axis";
import type { Curve, Value } from "../../../history/curve";
import { count } from "../../../format";
import { readStep, type Range as Steps, type StepValues } from "../../../history/read";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";

/** How long the pointer must rest on a step before its values are read. */
const REST_MS = 120;

/**
 * Return the step nearest to the cursor that has a loss or, if there are no losses, an evaluation; without a cursor, the newest one.
 * Steps that the charts do not show are ignored.
 */
export function stepAt(curve: Curve, axis: XAxis, cursor: Cursor | null, zoom: Steps | null): number | null {
  const series = curve.of("loss").length ? curve.of("loss") : curve.of("eval_loss");
  const range: Range = zoom ? [zoom.from, zoom.to] : [0, Infinity];
  return pointAt({ x: series.step, series }, cursor && axis.stepAt(cursor.x), range)?.step ?? null;
}

/** Whether the curve lacks steps of the run. */
export const isThinned = (curve: Curve): boolean => curve.total > curve.of("loss").length;

/**
 * Return the values of the step under the cursor, which are read once the pointer has rested on it; null until then. `step` returns
 * the step, or null if the curve already has all values. Moving on cancels the request.
 */
export function useStepValues(
  id: string,
  cursor: Signal<Cursor | null>,
  step: (cursor: Cursor) => number | null,
): Signal<StepValues | null> {
  const values = useSignal<StepValues | null>(null);
  useSignalEffect(() => {
    const at = cursor.value && step(cursor.value);
    if (at === null || at === values.peek()?.step) return;
    const request = new AbortController();
    const timer = setTimeout(() => {
      // Without an answer, the readout keeps the values of other steps, with these steps next to them.
      void readStep(id, at, request.signal).then(
        (found) => (values.value = found),
        () => undefined,
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      request.abort();
    };
  });
  return values;
}

/** A value, and its step if that is not the one asked for. */
export interface Reading {
  value: Value;
  from: number | null;
}

/** Return the value of a line at a step: the exact one if it is known, else that of the nearest point within a range. */
export function reading(
  line: Pick<Line, "metric" | "series" | "x">,
  { x, step, range }: { x: number | null; step: number | null; range: Range },
  values: StepValues | null,
): Reading | null {
  if (line.metric !== undefined && values !== null && values.step === step && values.values.has(line.metric))
    return { value: values.values.get(line.metric)!, from: null };
  const point = pointAt(line, x, range);
  return point && { value: point.value, from: point.step === step ? null : point.step };
}

/** Return the mark of a value that belongs to another step: "@ 1,234". It is not rounded, so that it always differs from the step hovered. */
export const sayFrom = (step: number): string => ` ${say(CHART.at_step, { step: count(step) })}`;
