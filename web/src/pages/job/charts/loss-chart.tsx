// The job's charts: one for train and eval loss, and smaller ones below it for learning rate, gradient norm and machine load.
// All share one horizontal range and one cursor.
import { useSignal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { isFinal, type Job } from "../../../api";
import { ChartButtons, ChartControls, Check } from "../../../chart/controls";
import { useFullHeight } from "../../../chart/full";
import { saveChart } from "../../../chart/pictures/picture";
import { Plot } from "../../../chart/plot";
import type { Cursor } from "../../../chart/plot-props";
import { chartView, useChartActions } from "../../../chart/view";
import { count } from "../../../format";
import type { JobStore } from "../../../live/store";
import { Card, useDrawn } from "../../../parts/controls";
import { language } from "../../../preferences";
import { CHART } from "../../../texts/job/chart";
import { say } from "../../../texts/say";
import { JOB } from "../../../texts/job/job";
import { SHARED } from "../../../texts/shared";
import { extentOf, useAxis, useDetail } from "./chart-data";
import { axisFigure, makeLines, minorCharts } from "./chart-lines";
import { makeMarks } from "./chart-marks";
import { hasStep, withHealthMarks } from "./health-marks";
import { isThinned, stepAt, useStepValues } from "./hovered";
import { MinorCharts } from "./minor-charts";
import { MarkTexts, Readout } from "./readout";
import { zoomTo } from "./zoom";

const HEIGHT = 320;

export function LossChart({ store, job }: { store: JobStore; job: Job }) {
  const place = useRef<HTMLDivElement>(null);
  const drawn = store.drawn.value;
  const view = chartView();
  const actions = useChartActions(view);
  const live = store.curve.value;
  const curve = useDetail(store.id, store.curve, drawn, view.range);
  const axis = useAxis(store.id, live, drawn, view.x);
  const cursor = useSignal<Cursor | null>(null);
  const height = useFullHeight(place, view.isFull, HEIGHT);
  const isDrawn = useDrawn();

  const hiddenKey = [...view.hidden].join();
  const drawing = [curve, axis, drawn, hiddenKey, language.value];
  const lines = useMemo(
    () => makeLines(curve, { axis, smoothing: view.smoothing, isLog: view.isLog, hidden: view.hidden }),
    [...drawing, view.smoothing, view.isLog],
  );
  const minors = useMemo(() => minorCharts(curve, axis, view.hidden), drawing);
  const { marks, attempts, checkpoints } = useMemo(
    () =>
      withHealthMarks(
        makeMarks(store.attempts.value, store.events.value, axis, view.hidden),
        view.hidden.has("warnings") ? [] : (job.health ?? []),
        axis.at,
      ),
    [job.health, store.attempts.value, store.events.value, axis, hiddenKey, language.value],
  );
  const hovered = (at: Cursor | null): number | null => stepAt(curve, axis, at, view.range);
  const exact = useStepValues(store.id, cursor, (at) => (isThinned(curve) ? hovered(at) : null));
  const { range, remainder, hasRest, showsRest } = extentOf(live, axis, view, job);
  const shared = {
    x: { kind: axis.kind, range },
    cursor,
    marks,
    remainder,
    onRange: (to: [number, number] | null): void =>
      actions.zoom(to && [Math.max(0, Math.floor(axis.stepAt(to[0]))), Math.ceil(axis.stepAt(to[1]))]),
  };
  const y = { isLog: view.isLog, ignoresOutliers: view.ignoresOutliers };
  const label = say(SHARED.chart_loss);

  if (import.meta.env.MODE === "probed") {
    const series = Object.fromEntries(curve.series);
    window.__stepline = { scales: [], ...window.__stepline, series, ghosts: curve.ghosts, range: view.range };
  }
  const save = (format: "png" | "svg"): void =>
    saveChart(
      { title: job.name ?? job.id, subtitle: `${label} · ${job.spec.model}`, lines, y, ...shared, format: axisFigure },
      job.id,
      format,
    );

  return (
    <div ref={place} class={view.isFull ? "full" : ""}>
      <Card
        title={label}
        class="charts"
        aside={
          <>
            <ChartControls view={view} actions={actions}>
              {hasRest && !view.range && (
                <Check label={say(CHART.rest)} on={showsRest} toggle={() => actions.showRest(!showsRest)} />
              )}
            </ChartControls>
            <ChartButtons view={view} actions={actions} save={save}>
              <a
                class="button"
                href={`/v1/jobs/${store.id}/metrics?format=csv`}
                download={`${store.id}.csv`}
                title={say(JOB.save_csv)}
                aria-label={say(JOB.save_csv)}
              >
                CSV
              </a>
            </ChartButtons>
          </>
        }
      >
        {curve.of("loss").length === 0 && curve.of("eval_loss").length === 0 ? (
          <div class="empty small">
            <b>{say(JOB.no_points)}</b>
            {!isFinal(job) && <span>{say(JOB.no_points_hint)}</span>}
          </div>
        ) : (
          <>
            <Readout
              {...{ curve, lines, axis, cursor, exact, range, attempts, checkpoints }}
              zoom={view.range}
              warnings={(job.health ?? []).filter(hasStep).length}
              hidden={view.hidden}
              toggle={actions.toggleLine}
            />
            {marks.length > 0 && <MarkTexts marks={marks} cursor={cursor} />}
            <Plot
              {...shared}
              label={label}
              lines={lines}
              height={height}
              y={y}
              format={axisFigure}
              onMark={(mark) => zoomTo(mark.step, job)}
            />
            {isDrawn && !view.isFull && (
              <MinorCharts {...{ minors, axis, shared, exact }} {...y} stepAt={hovered} toggle={actions.toggleLine} />
            )}
            <Notes
              curve={curve}
              drawn={drawn}
              showRest={hasRest && !showsRest && !view.range ? () => actions.showRest(true) : null}
              total={job.progress.total_steps ?? 0}
            />
          </>
        )}
      </Card>
    </div>
  );
}

interface NotesProps {
  curve: JobStore["curve"]["value"];
  drawn: number;
  /** Extends the axis to the last step; null if the charts do so or cannot. */
  showRest: (() => void) | null;
  total: number;
}

/** `drawn` changes with every new point. Without it, the same curve would count as unchanged and the notes would not be updated. */
function Notes({ curve, showRest, total }: NotesProps) {
  const loss = curve.of("loss");
  const nonfinite = loss.step.filter((_, at) => loss.value[at] === null);
  return (
    <p class="note">
      {curve.total > loss.length
        ? say(JOB.points_of, { shown: count(loss.length), n: count(curve.total) })
        : say(JOB.points, { n: count(curve.total) })}
      {" · "}
      {say(SHARED.zoom_hint)}
      {showRest && (
        <>
          {" · "}
          <button type="button" class="link" onClick={showRest}>
            {say(CHART.show_rest, { total: count(total) })}
          </button>
        </>
      )}
      {nonfinite.length > 0 && (
        <b class="bad">
          {" "}
          ·{" "}
          {say(JOB.nonfinite_at, {
            steps: nonfinite.slice(0, 8).join(", ") + (nonfinite.length > 8 ? " …" : ""),
          })}
        </b>
      )}
    </p>
  );
}
