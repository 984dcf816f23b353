// The legend of the job's main chart: each line with its value at the cursor, or the newest value.
import type { Signal } from "@preact/signals";
import { LegendEntry, LineEntry } from "../../../chart/legend";
import type { Line, Mark, Range } from "../../../chart/line";
import type { Cursor } from "../../../chart/plot-props";
import { exactX, type XAxis } from "../../../chart/scales/x-axis";
import type { Curve } from "../../../history/curve";
import { count, figure, NONE, rate } from "../../../format";
import type { StepValues } from "../../../history/read";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";
import { JOB } from "../../../texts/job/job";
import { EARLIER } from "./chart-lines";
import { isThinned, reading, type Reading, sayFrom, stepAt } from "./hovered";

interface Props {
  curve: Curve;
  lines: Line[];
  axis: XAxis;
  cursor: Signal<Cursor | null>;
  /** The values of the step under the cursor, once they have been read. */
  exact: Signal<StepValues | null>;
  /** The part of the axis that the charts show. */
  range: Range;
  /** The steps that the reader has selected; null shows all. */
  zoom: { from: number; to: number } | null;
  hidden: ReadonlySet<string>;
  toggle: (key: string) => void;
  attempts: number;
  checkpoints: number;
  warnings: number;
}

export function Readout(props: Props) {
  const { curve, lines, axis, cursor, range, zoom, hidden, toggle, attempts, checkpoints, warnings } = props;
  const at = stepAt(curve, axis, cursor.value, zoom);
  const exact = props.exact.value;
  const plain = (metric: string): Reading | null => {
    const series = curve.of(metric);
    const all: Range = [-Infinity, Infinity];
    return at === null ? null : reading({ metric, series, x: series.step }, { x: at, step: at, range: all }, exact);
  };
  return (
    <dl class={isThinned(curve) ? "readout thinned" : "readout"} aria-live="off">
      <div>
        <dt>{say(JOB.step)}</dt>
        <dd>{count(at)}</dd>
      </div>
      {axis.kind !== "step" && (
        <div>
          <dt>{say(CHART[`x_${axis.kind}`])}</dt>
          <dd>{at === null ? NONE : exactX(axis, axis.at(at))}</dd>
        </div>
      )}
      {lines.map((line) => (
        <LineEntry key={line.key} line={line} toggle={() => toggle(line.key)}>
          <LineValue line={line} axis={axis} step={at} range={range} exact={exact} />
        </LineEntry>
      ))}
      <Plain name={say(JOB.chart_rate)} of={plain("learning_rate")} format={rate} />
      <Plain name={say(JOB.chart_norm)} of={plain("grad_norm")} format={(value) => figure(value, 3)} />
      {[
        { key: "attempts", name: say(CHART.attempts), shape: "┊" as const, n: attempts, color: "--muted" },
        { key: "checkpoints", name: say(CHART.checkpoints), shape: "▲" as const, n: checkpoints, color: "--muted" },
        { key: "warnings", name: say(CHART.warnings), shape: "◆" as const, n: warnings, color: "--warn" },
      ].map(
        ({ key, name, shape, n, color }) =>
          n > 0 && (
            <LegendEntry
              key={key}
              name={name}
              color={color}
              shape={shape}
              hidden={hidden.has(key)}
              toggle={() => toggle(key)}
            />
          ),
      )}
    </dl>
  );
}

interface PlainProps {
  name: string;
  of: Reading | null;
  format: (value: Reading["value"]) => string;
}

function Plain({ name, of, format }: PlainProps) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="of-step">
        {format(of?.value ?? null)}
        {of?.from != null && <small>{sayFrom(of.from)}</small>}
      </dd>
    </div>
  );
}

interface ValueProps {
  line: Line;
  axis: XAxis;
  step: number | null;
  range: Range;
  exact: StepValues | null;
}

/** The value of the visible point nearest to a step, and the step of that point if it is a different one. */
function LineValue({ line, axis, step, range, exact }: ValueProps) {
  const found = step === null ? null : reading(line, { x: axis.at(step), step, range }, exact);
  // The points of earlier attempts have values only at their own steps.
  if (!found || (line.key === EARLIER && found.from !== null)) return <>{NONE}</>;
  return (
    <>
      {found.value === null ? say(JOB.not_finite) : figure(found.value)}
      {found.from !== null && <small>{sayFrom(found.from)}</small>}
    </>
  );
}

/**
 * The text of the marks near the cursor; without a cursor, that of the newest attempt that resumed. The text always takes up a
 * line, so that the layout does not shift.
 */
export function MarkTexts({ marks, cursor }: { marks: Mark[]; cursor: Signal<Cursor | null> }) {
  const at = cursor.value;
  const near = at
    ? marks.filter((mark) => Math.abs(mark.x - at.x) <= at.reach)
    : marks.filter((mark) => mark.kind === "attempt").slice(-1);
  return <p class="note marks">{near.length ? near.map((mark) => mark.text).join(" · ") : "\u00a0"}</p>;
}
