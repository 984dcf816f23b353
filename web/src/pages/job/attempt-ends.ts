// Why an attempt ended, in one line: for the table of attempts and for the marks on the charts.
import type { Attempt } from "../../api";
import { language } from "../../preferences";
import { ENDED_BY, FAILED_WITH } from "../../texts/job/attempts";
import { CHART } from "../../texts/job/chart";
import { say, type Text } from "../../texts/say";

const MOST_CHARACTERS = 120;

const ENDS = {
  lost: CHART.was_lost,
  interrupted: CHART.was_interrupted,
  paused: CHART.was_paused,
  cancelled: CHART.was_cancelled,
} satisfies Record<string, Text>;

/** Return why an attempt ended; null if it has not ended or has succeeded. */
export function reasonOf({ error, status, number }: Attempt): string | null {
  if (!error) return status in ENDS ? say(ENDS[status as keyof typeof ENDS], { n: number }) : null;
  const detail = firstLine(error.detail);
  if (!detail) return error.message;
  // The worker writes the detail in English; only the message is translated.
  return language.value === "zh" ? `${error.message}（${detail}）` : detail;
}

/** Return why an attempt ended in a few words, for a mark on a chart; null if it has not ended or has succeeded. */
export function shortReasonOf(attempt: Attempt): string | null {
  const { error } = attempt;
  if (!error) return reasonOf(attempt);
  const exitCode = error.evidence.exit_code;
  if (typeof exitCode === "number" && exitCode < 0) {
    if (error.code === "child_killed") return say(ENDED_BY.killed_by_signal, { signal: -exitCode });
    if (error.code === "crashed") return say(ENDED_BY.crashed_by_signal, { signal: -exitCode });
  }
  if (typeof exitCode === "number" && error.code === "crashed")
    return say(ENDED_BY.crashed_with_code, { code: exitCode });
  return error.code in FAILED_WITH ? say(FAILED_WITH[error.code as keyof typeof FAILED_WITH]) : reasonOf(attempt);
}

/** Return the first line of a detail, without an introduction to the lines after it; an empty string if it is long. */
function firstLine(detail: string): string {
  const line = detail
    .split("\n")[0]!
    .replace(/(^|(?<=\. ))[^.]*:$/, "")
    .trim();
  return line.length <= MOST_CHARACTERS ? line : "";
}
