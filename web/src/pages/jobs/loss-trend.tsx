// The loss trend in a job's row: a few dozen points, cached while the site is open.
import { useEffect, useState } from "preact/hooks";
import { isFinal, type Job } from "../../api";
import type { Value } from "../../curve";
import { readCurve } from "../../history";
import { Sparkline } from "../../parts/controls";

const trends = new Map<string, { step: number; values: Value[] }>();

/** Read the points again after every 1% of a running job's steps; read them once for a job that has ended. */
export function LossTrend({ job }: { job: Job }) {
  const [values, setValues] = useState<Value[]>(trends.get(job.id)?.values ?? []);
  const step = job.progress.step;
  const due = isFinal(job) ? step : step - (step % Math.max(1, Math.ceil((job.progress.total_steps ?? 100) / 100)));
  useEffect(() => {
    if (step < 2 || trends.get(job.id)?.step === due) return;
    trends.set(job.id, { step: due, values });
    readCurve(job.id, null, 40, "loss").then(
      ({ curve }) => {
        trends.set(job.id, { step: due, values: curve.of("loss").value });
        setValues(curve.of("loss").value);
      },
      () => void trends.delete(job.id),
    );
  }, [job.id, due]);
  return <Sparkline values={values} />;
}
