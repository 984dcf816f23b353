// What happened to a job, as marks on its charts: attempts that resumed, and checkpoints.
import type { Attempt, Event } from "../../../api";
import type { Mark } from "../../../chart/line";
import type { XAxis } from "../../../chart/scales/x-axis";
import { count } from "../../../format";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";
import { shortReasonOf } from "../attempt-ends";

/** Return the marks in the order of their steps. */
export function makeMarks(
  attempts: Attempt[],
  events: Event[],
  axis: XAxis,
  hidden: ReadonlySet<string>,
): { marks: Mark[]; attempts: number; checkpoints: number } {
  const resumed = attempts.flatMap((attempt, at) => (at ? markOf(attempt, attempts[at - 1]!, axis) : []));
  const steps = new Set(
    events.flatMap(({ code, data }) => (code === "checkpoint" && typeof data.step === "number" ? [data.step] : [])),
  );
  const checkpoints = [...steps]
    .sort((one, other) => one - other)
    .map((step): Mark => ({
      kind: "checkpoint",
      step,
      x: axis.at(step),
      text: say(CHART.checkpoint_at, { step: count(step) }),
    }));
  return {
    marks: [...(hidden.has("attempts") ? [] : resumed), ...(hidden.has("checkpoints") ? [] : checkpoints)],
    attempts: resumed.length,
    checkpoints: checkpoints.length,
  };
}

/** Return the mark of an attempt, with the reason why the one before it ended. An attempt that has not trained has none. */
function markOf(attempt: Attempt, before: Attempt, axis: XAxis): Mark[] {
  if (attempt.first_step === null) return [];
  const step = attempt.resumed_step ?? Math.max(0, attempt.first_step - 1);
  const [n, reason] = [attempt.number, shortReasonOf(before)];
  const text = reason
    ? say(CHART.attempt_because, { n, step: count(step), reason })
    : say(CHART.attempt_from, { n, step: count(step) });
  return [{ kind: "attempt", step, x: axis.at(step), label: String(n), text }];
}
