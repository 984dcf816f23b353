// Whether the training helped, at the top of a succeeded job: the change in eval loss, its interval, and the verdicts with advice.
import type { Summary } from "../../../api";
import { count, figure, percentChange } from "../../../format";
import { Card } from "../../../parts/controls";
import { REPORT } from "../../../texts/job/report";
import { say } from "../../../texts/say";

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
  const parts =
    before == null
      ? [`${say(REPORT.perplexity)} ${round(perplexity)}`]
      : [say(REPORT.perplexity_change, { before: round(base_perplexity), after: round(perplexity) })];
  parts.push(...originOf(summary));
  return (
    <>
      <b>
        {before == null
          ? say(REPORT.loss_only, { after: figure(after, 3) })
          : say(REPORT.loss_change, {
              before: figure(before, 3),
              after: figure(after, 3),
              percent: percentChange(before, after),
            })}
      </b>
      {parts.map((part) => (
        <span key={part}>{part}</span>
      ))}
    </>
  );
}

/** Return the step of the adapter, and the other step whose eval loss the page shows: the lowest or the last one. */
function originOf(summary: Summary): string[] {
  const step = count(summary.adapter_step);
  const trained = (summary.evaluations ?? []).filter((one) => one.step > 0);
  const last = trained.at(-1);
  if (!last || trained.length < 2) return [say(REPORT.adapter_of, { step })];
  const lowest = trained.reduce((best, one) => (one.loss < best.loss ? one : best));
  if (summary.adapter_step < last.step)
    return [
      say(REPORT.adapter_of_lowest, { step, n: trained.length }),
      say(REPORT.last_step_had, { loss: figure(last.loss, 3), step: count(last.step) }),
    ];
  if (lowest.loss < summary.eval_loss)
    return [
      say(REPORT.adapter_of_last, { step }),
      say(REPORT.lowest_was, { loss: figure(lowest.loss, 3), step: count(lowest.step) }),
    ];
  return [say(REPORT.adapter_of_lowest, { step, n: trained.length })];
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

/** Round a perplexity to about three digits; it can be a string such as "Infinity". */
function round(value: number | string | null | undefined): string {
  const given = Number(value);
  if (!Number.isFinite(given)) return "∞";
  if (given >= 1e6) return given.toExponential(2);
  return given >= 100 ? count(given) : given.toFixed(given < 10 ? 2 : 1);
}
