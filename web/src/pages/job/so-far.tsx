// How a running job is doing: whether it is healthy, and how its eval loss has changed so far.
import { isFinal, type Job, unreachableSince } from "../../api";
import type { Curve } from "../../history/curve";
import { count, figure, percentChange } from "../../format";
import type { JobStore } from "../../live/store";
import { HEALTH, sayFinding } from "../../texts/job/health";
import { SO_FAR } from "../../texts/job/so-far";
import { say } from "../../texts/say";
import type { Finding } from "./charts/health-marks";

export function SoFar({ store, job }: { store: JobStore; job: Job }) {
  store.drawn.value;
  if (isFinal(job) || job.started_at === null) return null;
  const { tone, text } = healthOf(job);
  const { headline, details } = gainOf(store.curve.value, job);
  return (
    <section class="so-far" aria-label={say(SO_FAR.title)}>
      {job.status === "running" && (
        <p class={`verdict ${tone}`} data-health={tone}>
          <i aria-hidden="true" />
          {text}
        </p>
      )}
      <p class="gain-so-far">
        <b>{headline}</b>
        {details.map((detail) => (
          <span key={detail}>{detail}</span>
        ))}
      </p>
    </section>
  );
}

type Tone = "good" | "warning" | "error" | "unknown";

/** Return the health in words. Findings of level `info` are not warnings. */
function healthOf(job: Job): { tone: Tone; text: string } {
  const n = count(job.progress.step);
  if (job.unreachable || unreachableSince.value !== null) return { tone: "unknown", text: say(HEALTH.unknown) };
  const findings = job.health ?? [];
  const warnings = findings.filter((one) => one.level !== "info");
  if (!warnings.length) {
    if (job.progress.step === 0) return { tone: "unknown", text: say(HEALTH.no_steps) };
    return { tone: "good", text: say(findings.length ? HEALTH.healthy_now : HEALTH.healthy, { n }) };
  }
  const names = warnings.map(nameOf).join(say(HEALTH.comma));
  const isUnhealthy = warnings.some((one) => one.level === "error");
  return isUnhealthy
    ? { tone: "error", text: say(HEALTH.unhealthy, { names, n }) }
    : { tone: "warning", text: say(HEALTH.needs_attention, { names, n }) };
}

const nameOf = (finding: Finding): string =>
  finding.acknowledged ? say(HEALTH.name_acknowledged, { name: sayFinding(finding.code) }) : sayFinding(finding.code);

/** Return the change in eval loss since the first evaluation; before there are two, when the next one is due. */
function gainOf(curve: Curve, job: Job): { headline: string; details: string[] } {
  const evals = curve.of("eval_loss");
  const [first, last] = [evals.at(0), evals.last()];
  const next = say(SO_FAR.first_at, { step: count(firstEvaluation(job)) });
  if (!first || !last) return { headline: next, details: [] };
  if (first.step === last.step) {
    if (first.step > 0) return { headline: say(SO_FAR.only, pointOf(first)), details: [say(SO_FAR.no_earlier)] };
    return { headline: next, details: [say(SO_FAR.base, { loss: lossOf(first.value) })] };
  }
  const loss = { before: lossOf(first.value), after: lossOf(last.value) };
  const span = { first: count(first.step), step: count(last.step) };
  const details = [say(first.step === 0 ? SO_FAR.since_base : SO_FAR.since_step, span)];
  const best = evals.lowest();
  if (best && best.step > 0 && best.step < last.step) details.push(say(SO_FAR.lowest, pointOf(best)));
  if (first.value === null || last.value === null) return { headline: say(SO_FAR.change, loss), details };
  const percent = percentChange(first.value, last.value);
  return { headline: say(SO_FAR.change_by, { ...loss, percent }), details };
}

const lossOf = (value: number | null): string => (value === null ? say(SO_FAR.not_finite) : figure(value, 3));

const pointOf = (point: { step: number; value: number | null }) => ({
  loss: lossOf(point.value),
  step: count(point.step),
});

/** Return the step of the first evaluation after that of the base model. The last step is always evaluated. */
function firstEvaluation(job: Job): number {
  return Math.min(job.spec.evaluation?.every_steps ?? Infinity, job.progress.total_steps ?? Infinity);
}
