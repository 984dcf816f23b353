// Why an attempt ended, in one line: for the table of attempts and for the marks on the charts.
import type { Attempt } from "../../api";
import { language } from "../../preferences";
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

/** Return the first line of a detail if it is short, else an empty string. */
function firstLine(detail: string): string {
  const line = detail.split("\n")[0]!.trim();
  return line.length <= MOST_CHARACTERS ? line : "";
}
