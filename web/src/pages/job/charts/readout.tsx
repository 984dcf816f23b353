// The legend of the job's main chart: each line with its value at the cursor, or the newest value.
import type { Signal } from "@preact/signals";
import { LegendEntry, LineEntry } from "../../../chart/legend";
import { type Line, type Mark, pointAt, type Range } from "../../../chart/line";
import type { Cursor } from "../../../chart/plot-props";
import { exactX, type XAxis } from "../../../chart/scales/x-axis";
import type { Curve } from "../../../curve";
import { count, figure, NONE, rate, shortStep } from "../../../format";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";
import { JOB } from "../../../texts/job/job";
import { EARLIER } from "./chart-lines";

interface Props {
  curve: Curve;
  lines: Line[];
  axis: XAxis;
  cursor: Signal<Cursor | null>;
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
  return (
    <dl class="readout" aria-live="off">
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
          <LineValue line={line} axis={axis} step={at} range={range} />
        </LineEntry>
      ))}
      <Plain name={say(JOB.chart_rate)} value={rate(valueAt(curve, "learning_rate", at))} />
      <Plain name={say(JOB.chart_norm)} value={figure(valueAt(curve, "grad_norm", at), 3)} />
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

/**
 * Return the step nearest to the cursor that has a loss or, if there are no losses, an evaluation; without a cursor, the newest one.
 * Steps that the charts do not show are ignored.
 */
function stepAt(curve: Curve, axis: XAxis, cursor: Cursor | null, zoom: Props["zoom"]): number | null {
  const series = curve.of("loss").length ? curve.of("loss") : curve.of("eval_loss");
  const range: Range = zoom ? [zoom.from, zoom.to] : [0, Infinity];
  return pointAt({ x: series.step, series }, cursor && axis.stepAt(cursor.x), range)?.step ?? null;
}

const valueAt = (curve: Curve, name: string, step: number | null): number | null =>
  step === null ? null : (curve.of(name).nearest(step)?.value ?? null);

function Plain({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface ValueProps {
  line: Line;
  axis: XAxis;
  step: number | null;
  range: Range;
}

/** The value of the visible point nearest to a step, and the step of that point if it is a different one. */
function LineValue({ line, axis, step, range }: ValueProps) {
  const point = step === null ? null : pointAt(line, axis.at(step), range);
  // The points of earlier attempts have values only at their own steps.
  if (!point || (line.key === EARLIER && point.step !== step)) return <>{NONE}</>;
  return (
    <>
      {point.value === null ? say(JOB.not_finite) : figure(point.value)}
      {point.step !== step && <small> {say(CHART.at_step, { step: shortStep(point.step) })}</small>}
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
