// Whether the training helped, at the top of a succeeded job: the change in eval loss, its interval, and the verdicts with advice.
import type { Summary } from "../../api";
import { count, figure } from "../../format";
import { Card } from "../../parts/controls";
import { REPORT } from "../../texts/job/report";
import { say } from "../../texts/say";

export function Outcome({ summary }: { summary: Summary }) {
  return (
    <Card title={say(REPORT.outcome)} class="outcome">
      <p class="headline">{headline(summary)}</p>
      <Gain summary={summary} />
      <ul class="verdicts" aria-label={say(REPORT.verdicts)}>
        {summary.verdicts.map((verdict) => (
          <li key={verdict.code} class={verdict.level}>
            <b>{say(REPORT[`verdict_${verdict.level}`])}</b>
            <span>
              {verdict.message}
              {verdict.hint && <small>{verdict.hint}</small>}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function headline(summary: Summary) {
  const { base_eval_loss: before, eval_loss: after, base_perplexity, perplexity } = summary;
  const best = bestStep(summary);
  const parts =
    before == null
      ? [`${say(REPORT.perplexity)} ${round(perplexity)}`]
      : [say(REPORT.perplexity_change, { before: round(base_perplexity), after: round(perplexity) })];
  if (best !== null) parts.push(say(REPORT.best_at, { step: count(best) }));
  return (
    <>
      <b>
        {before == null
          ? say(REPORT.loss_only, { after: figure(after, 2) })
          : say(REPORT.loss_change, {
              before: figure(before, 2),
              after: figure(after, 2),
              percent: percentOf(after - before, before),
            })}
      </b>
      {parts.map((part) => (
        <span key={part}>{part}</span>
      ))}
    </>
  );
}

/** Return the step with the lowest eval loss, if the run was evaluated more than once after its start. */
function bestStep(summary: Summary): number | null {
  const trained = (summary.evaluations ?? []).filter((one) => one.step > 0);
  if (trained.length < 2) return null;
  return trained.reduce((best, one) => (one.loss < best.loss ? one : best)).step;
}

/** The interval of the gain on an axis that contains 0, the value of no change. */
function Gain({ summary }: { summary: Summary }) {
  const { base_eval_loss: before, eval_loss: after, improvement_interval: interval } = summary;
  if (before == null) return <p class="note">{say(REPORT.base_not_measured)}</p>;
  if (!interval) return null;
  const { low, high } = interval;
  const drop = before - after;
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const width = (to - from) * 1.1 || 1;
  const start = from - (to - from) * 0.05;
  const at = (value: number): string => `${((100 * (value - start)) / width).toFixed(2)}%`;
  const text = say(REPORT.drop, { drop: figure(drop, 3), low: figure(low, 3), high: figure(high, 3) });
  const kind = low > 0 ? "good" : high < 0 ? "bad" : "open";
  return (
    <figure class={`gain ${kind}`}>
      <div class="axis" role="img" aria-label={text}>
        <i class="zero" style={{ left: at(0) }} />
        <i class="range" style={{ left: at(low), width: `${((100 * (high - low)) / width).toFixed(2)}%` }} />
        <i class="point" style={{ left: at(drop) }} />
        <small style={{ left: at(0) }}>{say(REPORT.no_change)}</small>
      </div>
      <figcaption>
        {text}. {say(REPORT[`interval_${kind}`])}
      </figcaption>
    </figure>
  );
}

function percentOf(change: number, before: number): string {
  const percent = Math.round((100 * change) / before);
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent)} %`;
}

/** Round a perplexity to about three digits; it can be a string such as "Infinity". */
function round(value: number | string | null | undefined): string {
  const given = Number(value);
  if (!Number.isFinite(given)) return "∞";
  if (given >= 1e6) return given.toExponential(2);
  return given >= 100 ? count(given) : given.toFixed(given < 10 ? 2 : 1);
}
