// The losses of the compared jobs in one chart. Smoothing, scale and horizontal axis are the same for all jobs.
import { type Signal, useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { axisOf } from "../../chart/scales/axes";
import { ChartButtons, ChartControls, Check } from "../../chart/controls";
import { useFullHeight } from "../../chart/full";
import { LegendEntry } from "../../chart/legend";
import { type Line, pointAt, points, type Range } from "../../chart/line";
import { saveChart } from "../../chart/pictures/picture";
import { Plot } from "../../chart/plot";
import type { Cursor } from "../../chart/plot-props";
import { type ChartView, chartView, useChartActions } from "../../chart/view";
import { exactX, type XAxis } from "../../chart/scales/x-axis";
import { smooth } from "../../history/curve";
import { count, figure, NONE } from "../../format";
import { Card } from "../../parts/controls";
import { language } from "../../preferences";
import { setQuery } from "../../router";
import { CHART } from "../../texts/job/chart";
import { COMPARE } from "../../texts/compare";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { colorOf, nameOf, type Side } from "./sides";

const HEIGHT = 340;
/** The key that hides all evaluations. */
const EVALS = "eval";

interface Drawn {
  side: Side;
  axis: XAxis;
  loss: Line;
  evals: Line;
}

export function Overlay({ sides }: { sides: Side[] }) {
  const place = useRef<HTMLDivElement>(null);
  const view = chartView();
  const actions = useChartActions(view);
  const cursor = useSignal<Cursor | null>(null);
  const height = useFullHeight(place, view.isFull, HEIGHT);
  const all = useMemo(
    () => draw(sides, view),
    [
      sides.map((side) => `${side.job.id} ${side.cursor} ${side.times?.step.length}`).join(),
      view.smoothing,
      view.x,
      language.value,
    ],
  );
  const drawn = useMemo(() => all.map((one) => hide(one, view.hidden)), [all, [...view.hidden].join()]);
  const lines = useMemo(() => drawn.flatMap(({ loss, evals }) => [loss, evals]), [drawn]);
  // Until the times of all jobs have been read, all axes show steps.
  const kind = drawn[0]?.axis.kind ?? "step";
  const chart = {
    lines,
    x: { kind, range: rangeOf(drawn, view) },
    y: { isLog: view.isLog, ignoresOutliers: view.ignoresOutliers },
    format: (value: number): string => String(+value.toPrecision(4)),
  };
  const label = say(SHARED.chart_loss);
  return (
    <div ref={place} class={view.isFull ? "full" : ""}>
      <Card
        title={label}
        class="charts"
        aside={
          <>
            <ChartControls
              view={view}
              // Choosing another axis resets the zoom, because each job converts steps to positions differently.
              actions={{ ...actions, chooseX: (x) => setQuery({ x: x === "step" ? null : x, from: null, to: null }) }}
            >
              <Check
                label={say(SHARED.eval_loss)}
                on={!view.hidden.has(EVALS)}
                toggle={() => actions.toggleLine(EVALS)}
              />
            </ChartControls>
            <ChartButtons
              view={view}
              actions={actions}
              save={(format) =>
                saveChart(
                  { ...chart, title: say(COMPARE.title, { n: sides.length }), subtitle: label },
                  "comparison",
                  format,
                )
              }
            />
          </>
        }
      >
        <Legend drawn={drawn} cursor={cursor} range={chart.x.range} toggle={actions.toggleLine} />
        <Plot
          {...chart}
          label={label}
          height={height}
          cursor={cursor}
          onRange={(range) => actions.zoom(range && rounded(range, kind === "epoch" ? 4 : 0))}
        />
        <p class="note">{say(SHARED.zoom_hint)}</p>
      </Card>
    </div>
  );
}

function draw(sides: Side[], view: ChartView): Drawn[] {
  const axes = sides.map((side) => axisOf(view.x, side.curve, side.times));
  const isReady = sides.every((side, at) => axes[at]!.kind === view.x || side.curve.of("loss").length < 2);
  return sides.map((side, at) => {
    const axis = isReady ? axes[at]! : axisOf("step", side.curve, null);
    const { job, curve } = side;
    const color = colorOf(at);
    return {
      side,
      axis,
      loss: {
        color,
        key: job.id,
        name: nameOf(job),
        ...points(smooth(curve.of("loss"), view.smoothing), axis),
        width: 2,
      },
      evals: {
        color,
        key: `${job.id} eval`,
        name: `${nameOf(job)} · ${say(SHARED.eval_loss)}`,
        ...points(curve.of("eval_loss"), axis),
        width: 1,
        opacity: 0.6,
        dots: true,
      },
    };
  });
}

function hide(drawn: Drawn, keys: ReadonlySet<string>): Drawn {
  const hidden = keys.has(drawn.side.job.id);
  return {
    ...drawn,
    loss: { ...drawn.loss, hidden },
    evals: { ...drawn.evals, hidden: hidden || keys.has(EVALS) },
  };
}

function rangeOf(drawn: Drawn[], view: ChartView): Range {
  if (view.range) return [view.range.from, view.range.to];
  const shown = drawn.flatMap(({ loss, evals }) => [loss, evals]).filter((line) => !line.hidden && line.x.length > 0);
  const first = Math.min(...shown.map((line) => line.x[0]!));
  const last = Math.max(...shown.map((line) => line.x.at(-1)!));
  if (!Number.isFinite(first)) return [0, 1];
  return first < last ? [first, last] : [first, first + 1];
}

const rounded = ([from, to]: Range, digits: number): Range => [
  Math.max(0, Math.floor(from * 10 ** digits) / 10 ** digits),
  Math.ceil(to * 10 ** digits) / 10 ** digits,
];

interface LegendProps {
  drawn: Drawn[];
  cursor: Signal<Cursor | null>;
  range: Range;
  toggle: (key: string) => void;
}

/** Each job with its losses at the cursor, or the newest ones that the chart shows. */
function Legend({ drawn, cursor, range, toggle }: LegendProps) {
  const at = cursor.value;
  const axis = drawn[0]?.axis;
  return (
    <dl class="readout jobs">
      {axis && (
        <div>
          <dt>{say(CHART[`x_${axis.kind}`])}</dt>
          <dd>{at ? exactX(axis, at.x) : NONE}</dd>
        </div>
      )}
      {drawn.map(({ side: { job }, loss, evals }) => (
        <LegendEntry
          key={job.id}
          name={nameOf(job)}
          color={loss.color}
          hidden={loss.hidden ?? false}
          toggle={() => toggle(job.id)}
          title={
            <a href={`/jobs/${job.id}`} class="cut" title={nameOf(job)}>
              {nameOf(job)}
            </a>
          }
        >
          <ValueAt line={loss} cursor={at} range={range} axis={axis} />
          {evals.x.length > 0 && !evals.hidden && (
            <small>
              {" "}
              {say(COMPARE.eval_short)} <ValueAt line={evals} cursor={at} range={range} axis={axis} />
            </small>
          )}
        </LegendEntry>
      ))}
    </dl>
  );
}

interface ValueProps {
  line: Line;
  cursor: Cursor | null;
  range: Range;
  axis: XAxis | undefined;
}

/** The value of the point nearest to the cursor and, if that is another step than the one pointed at, its step. */
function ValueAt({ line, cursor, range, axis }: ValueProps) {
  const point = pointAt(line, cursor && cursor.x, range);
  const isElsewhere = cursor && axis?.kind === "step" && point && point.step !== Math.round(cursor.x);
  return (
    <>
      {figure(point?.value)}
      {isElsewhere && <small> {say(CHART.at_step, { step: count(point.step) })}</small>}
    </>
  );
}
