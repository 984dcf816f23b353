// Builds the horizontal axis of one job from its curve.
import type { Curve } from "../../history/curve";
import type { Times } from "../../history/read";
import { axisThrough, STEPS, tokenAxis, type XAxis, type XKind } from "./x-axis";

/** Return the job's axis of this kind. `times` is needed only for training time; until it is known, the axis shows steps. */
export function axisOf(kind: XKind, curve: Curve, times: Times | null): XAxis {
  if (kind === "epoch") {
    const epoch = curve.of("epoch");
    return axisThrough("epoch", [0, ...epoch.step], [0, ...epoch.value]);
  }
  if (kind === "tokens") {
    const tokens = curve.of("tokens");
    return tokenAxis(tokens, curve.total > tokens.length);
  }
  return kind === "time" && times ? axisThrough("time", times.step, times.seconds) : STEPS;
}

/** Return whether times read earlier no longer cover the newest steps well. */
export function areOld(times: Times | null, newestStep: number): boolean {
  return times === null || newestStep > (times.step.at(-1) ?? 0) * 1.05 + 5;
}
