import type { Curve, Series } from "../../curve";
import { count, figure, rate } from "../../format";
import type { Line } from "../../parts/plot";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";

/** The values of the charts at the cursor, or at the newest step. */
export function Readout({ curve, lines, step }: { curve: Curve; lines: Line[]; step: number | null }) {
  const at = step ?? curve.of("loss").last()?.step ?? null;
  const value = (series: Series): number | null => {
    if (at === null) return null;
    const found = series.step.lastIndexOf(at);
    return found < 0 ? null : (series.value[found] ?? null);
  };
  return (
    <dl class="readout" aria-live="off">
      <div>
        <dt>{say(JOB.step)}</dt>
        <dd>{count(at)}</dd>
      </div>
      {lines.map((line) => (
        <div key={line.name}>
          <dt>
            <i
              class={line.dots ? "dot" : ""}
              style={{ background: `var(${line.color})`, opacity: line.opacity ?? 1 }}
              aria-hidden="true"
            />
            {line.name}
          </dt>
          <dd>{figure(line.dots ? (value(line.series) ?? line.series.last()?.value) : value(line.series))}</dd>
        </div>
      ))}
      <div>
        <dt>{say(JOB.chart_rate)}</dt>
        <dd>{rate(value(curve.of("learning_rate")))}</dd>
      </div>
      <div>
        <dt>{say(JOB.chart_norm)}</dt>
        <dd>{figure(value(curve.of("grad_norm")), 3)}</dd>
      </div>
    </dl>
  );
}
