// The loss trend in a job's row: a few dozen points, cached while the site is open. Only a few are read at a time, because a browser sends
// only six requests at once, and the next page of the list must not wait for the trends of this one.
import { useEffect, useState } from "preact/hooks";
import { isFinal, type Job } from "../../api";
import type { Value } from "../../history/curve";
import { readCurve } from "../../history/read";
import { Sparkline } from "../../parts/controls";

const CONCURRENT = 2;
const trends = new Map<string, { step: number; values: Value[] }>();
const waiting = new Set<() => Promise<void>>();
let reading = 0;
let isPaused = false;

/** Pause reading trends while the list is read; return a function that resumes it. */
export function pauseTrends(): () => void {
  isPaused = true;
  return () => {
    isPaused = false;
    for (let n = 0; n < CONCURRENT; n += 1) void readNext();
  };
}

async function readNext(): Promise<void> {
  const [read] = waiting;
  if (!read || isPaused || reading >= CONCURRENT) return;
  waiting.delete(read);
  reading += 1;
  await read();
  reading -= 1;
  void readNext();
}

/** Read the points again after every 1% of a running job's steps; read them once for a job that has ended. */
export function LossTrend({ job }: { job: Job }) {
  const [values, setValues] = useState<Value[]>(trends.get(job.id)?.values ?? []);
  const step = job.progress.step;
  const due = isFinal(job) ? step : step - (step % Math.max(1, Math.ceil((job.progress.total_steps ?? 100) / 100)));
  useEffect(() => {
    if (step < 2 || trends.get(job.id)?.step === due) return;
    const read = (): Promise<void> => {
      trends.set(job.id, { step: due, values });
      return readCurve(job.id, null, 40, "loss").then(
        ({ curve }) => {
          trends.set(job.id, { step: due, values: curve.of("loss").value });
          setValues(curve.of("loss").value);
        },
        () => void trends.delete(job.id),
      );
    };
    waiting.add(read);
    void readNext();
    return () => void waiting.delete(read);
  }, [job.id, due]);
  return <Sparkline values={values} />;
}
