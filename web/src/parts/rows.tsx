// The progress of phases that count rows instead of steps: tokenizing and evaluating.
import type { Job } from "../api";
import { count, duration } from "../format";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";

type Counting = Pick<Job, "status" | "phase" | "progress">;

/** The line below a running job's progress bar. It keeps its height while empty, so that the layout does not shift. */
export function RowsLine({ job }: { job: Counting }) {
  if (job.status !== "running") return null;
  return <p class="note rows-done">{sayRows(job) ?? "\u00a0"}</p>;
}

function sayRows(job: Counting): string | null {
  const rows = job.progress.rows;
  if (!rows) return null;
  const text =
    job.phase === "tokenizing"
      ? SHARED.rows_tokenized
      : job.progress.step === 0
        ? SHARED.rows_evaluated_base
        : SHARED.rows_evaluated;
  const line = say(text, { done: count(rows.done), total: count(rows.total), percent: percentOfRows(job) ?? 0 });
  return rows.seconds_left === null ? line : line + say(SHARED.rows_left, { time: duration(rows.seconds_left) });
}

/** Return the number of rows done and their total as text; null in a phase without rows. */
export function shortRows(job: Counting): string | null {
  const rows = job.progress.rows;
  return rows ? say(SHARED.rows_of, { done: count(rows.done), total: count(rows.total) }) : null;
}

/** Return the percentage of the phase's rows, rounded down; null in a phase without rows. */
export function percentOfRows(job: Counting): number | null {
  const rows = job.progress.rows;
  return rows && rows.total ? Math.floor((100 * rows.done) / rows.total) : null;
}

/** Return the time left in the phase as text, for use when the job's time left is unknown; null if the phase's is unknown too. */
export function phaseLeft(job: Counting): string | null {
  const seconds = job.progress.rows?.seconds_left;
  return seconds === null || seconds === undefined ? null : say(SHARED.phase_left, { time: duration(seconds) });
}
