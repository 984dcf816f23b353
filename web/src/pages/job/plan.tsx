// A job's plan: the forecast made at its submission and, once it has succeeded, the predicted and the actual figures.
import { useEffect, useState } from "preact/hooks";
import { type components, get, isFinal, type Job } from "../../api";
import { bytes, duration } from "../../format";
import { Card } from "../../parts/controls";
import { DataWarnings } from "../../parts/plan/data-warnings";
import { Forecast } from "../../parts/plan/forecast";
import { language } from "../../preferences";
import { PLAN } from "../../texts/plan";
import { say } from "../../texts/say";

type Plan = components["schemas"]["JobPlan"];

export function PlanCard({ job }: { job: Job }) {
  const [plan, setPlan] = useState<Plan | null>(null);
  const hasEnded = isFinal(job);
  useEffect(() => {
    let current = true;
    get<Plan>(`/v1/jobs/${job.id}/plan`).then(
      (found) => current && setPlan(found),
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [job.id, hasEnded, language.value]);
  if (!plan?.forecast) return null;
  return (
    <Card title={say(PLAN.plan)}>
      {plan.actual && <Comparison actual={plan.actual} />}
      <Forecast forecast={plan.forecast} />
      <DataWarnings warnings={plan.data_warnings} />
    </Card>
  );
}

function Comparison({ actual }: { actual: NonNullable<Plan["actual"]> }) {
  const rows: [name: string, format: (value: number) => string, predicted?: number | null, measured?: number | null][] =
    [
      [say(PLAN.duration), duration, actual.predicted_seconds, actual.seconds],
      [say(PLAN.peak_memory), bytes, actual.predicted_memory_bytes, actual.peak_memory_bytes],
    ];
  return (
    <table class="predicted">
      <thead>
        <tr>
          <th>{say(PLAN.figure)}</th>
          <th>{say(PLAN.predicted)}</th>
          <th>{say(PLAN.actual)}</th>
          <th>{say(PLAN.error)}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, format, predicted, measured]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{predicted == null ? say(PLAN.unknown) : format(predicted)}</td>
            <td>{measured == null ? say(PLAN.unknown) : format(measured)}</td>
            <td>{predicted && measured ? signed(predicted / measured - 1) : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const signed = (share: number): string => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)} %`;
