// The data of a job's charts: the curve in enough detail for the zoom, the horizontal axis, and the range that all charts show.
import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useState } from "preact/hooks";
import { isFinal, type Job } from "../../../api";
import { areOld, axisOf } from "../../../chart/scales/axes";
import type { PlotProps } from "../../../chart/plot-props";
import type { ChartView } from "../../../chart/view";
import type { XAxis, XKind } from "../../../chart/scales/x-axis";
import type { Curve } from "../../../history/curve";
import { duration } from "../../../format";
import { type Range, readCurve, readTimes, type Times } from "../../../history/read";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";
import { isThinned } from "./hovered";

/**
 * Once this share of the steps is complete, the axis extends to the last step. Before, the curve would be less than about 20 pixels
 * wide, and its first steps, in which the loss usually falls fastest, would look like a vertical line. The note below the charts then
 * offers the remaining steps.
 */
const SHARE = 0.02;

/**
 * Return the live curve; if a range is selected and the live curve is downsampled, return that range in full detail instead. The
 * range is fetched again as new points arrive.
 */
export function useDetail(id: string, live: Signal<Curve>, drawn: number, range: Range | null): Curve {
  const [detail, setDetail] = useState<{ curve: Curve; key: string } | null>(null);
  const key = range ? `${range.from}-${range.to}` : "";
  const isNeeded = key !== "" && isThinned(live.value);
  useEffect(() => {
    if (!isNeeded || !range) return setDetail(null);
    let current = true;
    readCurve(id, range).then(
      ({ curve }) => current && setDetail({ curve, key }),
      () => undefined, // the banner already reports that the server is unreachable; the live curve stays visible
    );
    return () => {
      current = false;
    };
  }, [id, key, isNeeded, range && range.to > (live.value.of("loss").last()?.step ?? 0) ? Math.floor(drawn / 20) : 0]);
  return isNeeded && detail?.key === key ? detail.curve : live.value;
}

/** Return the axis of the whole run; the times that some axes need are read when they are first shown. */
export function useAxis(id: string, curve: Curve, drawn: number, kind: XKind): XAxis {
  const [times, setTimes] = useState<Times | null>(null);
  const newest = curve.of("loss").last()?.step ?? 0;
  const isDue = kind === "time" && newest > 0 && areOld(times, newest);
  useEffect(() => {
    if (!isDue) return;
    readTimes(id).then(setTimes, () => undefined); // as above
  }, [id, isDue]);
  return useMemo(() => axisOf(kind, curve, times), [kind, curve, kind === "step" ? 0 : drawn, times]);
}

interface Extent {
  range: [number, number];
  remainder: PlotProps["remainder"];
  /** Whether the reader can choose to see the steps that are still to come. */
  hasRest: boolean;
  showsRest: boolean;
}

/** Return the horizontal range of all charts. While the job runs, it extends to the last step of the whole run. */
export function extentOf(curve: Curve, axis: XAxis, view: ChartView, job: Job): Extent {
  let [first, last] = [Infinity, 0];
  for (const { step } of curve.series.values()) {
    if (!step.length) continue;
    [first, last] = [Math.min(first, step[0]!), Math.max(last, step.at(-1)!)];
  }
  if (first > last) first = 0;
  const total = job.progress.total_steps ?? 0;
  const hasRest = !isFinal(job) && total > last;
  const showsRest = hasRest && (view.showsRest ?? last >= total * SHARE);
  const now = axis.at(last);
  const end = axis.kind === "time" && job.eta_seconds ? now + job.eta_seconds : axis.at(total);
  const label = job.eta_seconds ? say(CHART.left, { time: duration(job.eta_seconds) }) : say(CHART.still_to_come);
  const range: [number, number] = view.range
    ? [axis.at(view.range.from), axis.at(view.range.to)]
    : [axis.at(first), showsRest ? end : now];
  if (!(range[1] > range[0])) range[1] = range[0] + 1;
  return { range, remainder: hasRest ? { from: now, label } : null, hasRest, showsRest };
}
