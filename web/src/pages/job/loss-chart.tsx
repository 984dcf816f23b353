// The job's charts: one for train and eval loss, and smaller ones below it for learning rate, gradient norm and machine load.
// All share one cursor.
import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Curve } from "../../curve";
import { count } from "../../format";
import { type Range, readCurve } from "../../history";
import type { JobStore } from "../../live/store";
import { ChartControls } from "../../parts/chart-controls";
import { Card, useKeys } from "../../parts/controls";
import { Plot } from "../../parts/plot";
import { query, setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";
import { SHARED } from "../../texts/shared";
import { axisFigure, axisRate, machineLines, makeLines, oneLine } from "./chart-lines";
import { Readout } from "./readout";

const SMOOTHING = 0.6;

function requestedRange(): Range | null {
  const [from, to] = [Number(query.value.get("from") ?? NaN), Number(query.value.get("to") ?? NaN)];
  return Number.isFinite(from) && Number.isFinite(to) && to > from ? { from, to } : null;
}

/**
 * Return the live curve; if a range is selected and the live curve is downsampled, return that range in full detail instead. The
 * range is fetched again as new points arrive.
 */
function useDetail(id: string, live: Signal<Curve>, drawn: number, range: Range | null): Curve {
  const [detail, setDetail] = useState<{ curve: Curve; key: string } | null>(null);
  const key = range ? `${range.from}-${range.to}` : "";
  const isThinned = live.value.total > live.value.of("loss").length;
  const isNeeded = key !== "" && isThinned;
  useEffect(() => {
    if (!isNeeded || !range) return setDetail(null);
    let current = true;
    readCurve(id, range).then(
      ({ curve }) => current && setDetail({ curve, key }),
      () => undefined, // the banner already reports that the server is unreachable; the live curve stays visible
    );
    return () => {
      current = false;
    };
  }, [id, key, isNeeded, range && range.to > (live.value.of("loss").last()?.step ?? 0) ? Math.floor(drawn / 20) : 0]);
  return isNeeded && detail?.key === key ? detail.curve : live.value;
}

export function LossChart({ store, ended }: { store: JobStore; ended: boolean }) {
  const drawn = store.drawn.value;
  const range = requestedRange();
  const rangeKey = range ? `${range.from}-${range.to}` : "";
  const curve = useDetail(store.id, store.curve, drawn, range);
  const isLog = query.value.get("log") === "1";
  const given = query.value.get("smooth");
  const smoothing = given === null ? SMOOTHING : Math.min(0.99, Math.max(0, Number(given) || 0));
  const [cursor, setCursor] = useState<number | null>(null);
  const canvas = useRef<HTMLCanvasElement | null>(null);

  const lines = useMemo(
    () => makeLines(curve, smoothing, isLog),
    [curve, drawn, smoothing, isLog, rangeKey, say(JOB.raw)],
  );
  const rates = useMemo(
    () => oneLine(curve, "learning_rate", say(JOB.chart_rate), "--rate"),
    [curve, drawn, say(JOB.raw)],
  );
  const norms = useMemo(() => oneLine(curve, "grad_norm", say(JOB.chart_norm), "--norm"), [curve, drawn, say(JOB.raw)]);

  const machine = useMemo(() => machineLines(curve), [curve, drawn, say(JOB.raw)]);

  const onRange = (to: Range | null): void => setQuery({ from: to && String(to.from), to: to && String(to.to) });
  const setSmoothing = (to: number): void => setQuery({ smooth: to === SMOOTHING ? null : String(to) });
  useKeys({
    l: () => setQuery({ log: isLog ? null : "1" }),
    w: () => onRange(null),
    s: () => setSmoothing(smoothing === 0 ? SMOOTHING : 0),
  });

  const loss = curve.of("loss");
  if (import.meta.env.MODE === "probed") {
    window.__stepline = { series: Object.fromEntries(curve.series), ghosts: curve.ghosts, range };
  }
  const nonfinite = loss.step.filter((_, at) => loss.value[at] === null);
  const isThin = curve.total > loss.length;

  return (
    <Card
      title={say(SHARED.chart_loss)}
      class="charts"
      aside={
        <>
          <ChartControls
            smoothing={smoothing}
            isLog={isLog}
            isZoomed={range !== null}
            onSmoothing={setSmoothing}
            onLog={() => setQuery({ log: isLog ? null : "1" })}
            onResetZoom={() => onRange(null)}
          />
          <span class="row tight">
            <button
              type="button"
              title={say(JOB.save_picture)}
              aria-label={say(JOB.save_picture)}
              onClick={() => canvas.current && savePng(canvas.current, store.id)}
            >
              PNG
            </button>
            <a
              class="button"
              href={`/v1/jobs/${store.id}/metrics?format=csv`}
              download={`${store.id}.csv`}
              title={say(JOB.save_csv)}
              aria-label={say(JOB.save_csv)}
            >
              CSV
            </a>
          </span>
        </>
      }
    >
      <Readout curve={curve} lines={lines} step={cursor} />
      {loss.length === 0 && curve.of("eval_loss").length === 0 ? (
        <div class="empty small">
          <b>{say(JOB.no_points)}</b>
          {!ended && <span>{say(JOB.no_points_hint)}</span>}
        </div>
      ) : (
        <>
          <Plot
            label={say(SHARED.chart_loss)}
            lines={lines}
            height={320}
            log={isLog}
            range={range}
            format={axisFigure}
            onRange={onRange}
            onCursor={setCursor}
            together={store.id}
            onCanvas={(made) => (canvas.current = made)}
          />
          <div class="minor">
            {[
              { series: "rate", label: say(JOB.chart_rate), lines: rates, format: axisRate },
              { series: "norm", label: say(JOB.chart_norm), lines: norms, format: axisFigure },
            ].map(({ series, label, lines, format }) => (
              <figure key={series}>
                <figcaption>{label}</figcaption>
                <Plot
                  label={label}
                  lines={lines}
                  height={130}
                  range={range}
                  format={format}
                  onRange={onRange}
                  onCursor={setCursor}
                  together={store.id}
                />
              </figure>
            ))}
            {machine.map(({ lines, format, span, inBytes }) => (
              <figure key={lines[0].name}>
                <figcaption>{lines[0].name}</figcaption>
                <Plot
                  label={lines[0].name}
                  lines={lines}
                  height={110}
                  span={span}
                  inBytes={inBytes}
                  range={range}
                  format={format}
                  onRange={onRange}
                  onCursor={setCursor}
                  together={store.id}
                />
              </figure>
            ))}
          </div>
          <p class="note">
            {isThin
              ? say(JOB.points_of, { shown: count(loss.length), n: count(curve.total) })
              : say(JOB.points, { n: count(curve.total) })}
            {" · "}
            {say(SHARED.zoom_hint)}
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
        </>
      )}
    </Card>
  );
}

function savePng(canvas: HTMLCanvasElement, id: string): void {
  const copy = document.createElement("canvas");
  copy.width = canvas.width;
  copy.height = canvas.height;
  const context = copy.getContext("2d")!;
  context.fillStyle = getComputedStyle(canvas.closest(".card")!).backgroundColor;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(canvas, 0, 0);
  copy.toBlob((blob) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${id}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
