// The trend of a job's loss in its row: a few dozen points, cached while the site is open.
import { useEffect, useState } from "preact/hooks";
import { isFinal, type Job } from "../../api";
import type { Value } from "../../curve";
import { readCurve } from "../../history";
import { Sparkline } from "../../parts/controls";

const courses = new Map<string, { step: number; values: Value[] }>();

/** Read again after each hundredth of a running job's steps, once for a job that has ended. */
export function LossCourse({ job }: { job: Job }) {
  const [values, setValues] = useState<Value[]>(courses.get(job.id)?.values ?? []);
  const step = job.progress.step;
  const due = isFinal(job) ? step : step - (step % Math.max(1, Math.ceil((job.progress.total_steps ?? 100) / 100)));
  useEffect(() => {
    if (step < 2 || courses.get(job.id)?.step === due) return;
    courses.set(job.id, { step: due, values });
    readCurve(job.id, null, 40, "loss").then(
      ({ curve }) => {
        courses.set(job.id, { step: due, values: curve.of("loss").value });
        setValues(curve.of("loss").value);
      },
      () => void courses.delete(job.id),
    );
  }, [job.id, due]);
  return <Sparkline values={values} />;
}
