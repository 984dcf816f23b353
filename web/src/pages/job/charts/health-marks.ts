// Formats the findings on a job's health as text, and as marks on its charts.
import type { components } from "../../../api";
import { bytes, count, figure } from "../../../format";
import { HEALTH, sayFinding, SENTENCES } from "../../../texts/job/health";
import { say, type Text } from "../../../texts/say";

export type Finding = components["schemas"]["HealthView"];

/** A warning at a step of a chart. */
export interface HealthMark {
  kind: "warning";
  step: number;
  /** Where the step is on the axis. */
  x: number;
  text: string;
}

/** Add a mark for each finding that belongs to a step; `at` returns where a step is on the axis. */
export function withHealthMarks<Drawn extends { marks: object[] }>(
  drawn: Drawn,
  health: Finding[],
  at: (step: number) => number,
): Drawn & { marks: (Drawn["marks"][number] | HealthMark)[] } {
  const marks = health.filter(hasStep).map((finding): HealthMark => ({
    kind: "warning",
    step: finding.step,
    x: at(finding.step),
    text: `${sayFinding(finding.code)} · ${say(HEALTH.at_step, { step: count(finding.step) })}`,
  }));
  return { ...drawn, marks: [...drawn.marks, ...marks] };
}

/** Whether the finding is about something that happened at its step. Findings about the host's load are not. */
export const hasStep = (finding: Finding): boolean => finding.step > 0 && !/^(gpu|disk)_/.test(finding.code);

/** Return the finding's figures as a sentence; if it has none, because the loss is not a number, return its name. */
export function sentenceOf(finding: Finding): string {
  const text: Text = SENTENCES[finding.code];
  const figures = Object.fromEntries(Object.entries(finding.values).map(([name, value]) => [name, write(name, value)]));
  const isComplete = [...text[0].matchAll(/\{(\w+)\}/g)].every(([, name]) => name! in figures);
  return isComplete ? fill(text, figures) : sayFinding(finding.code);
}

/** `say` for text that is known only at run time. */
const fill = say as (text: Text, figures: Record<string, string>) => string;

function write(name: string, value: number): string {
  if (name.endsWith("bytes")) return bytes(value);
  if (name === "share") return `${Math.round(100 * value)} %`;
  if (name.includes("loss")) return name.endsWith("step") ? count(value) : figure(value, 3);
  if (name === "count" || name.endsWith("_step")) return count(value);
  return value >= 100 ? count(value) : String(+value.toPrecision(3));
}
