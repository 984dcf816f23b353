// The job's charts: train and eval loss in one, learning rate and gradient norm under it, one cursor over all three.
import type { Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Curve, Series, smooth } from "../curve";
import { count, figure, rate, roundBytes } from "../format";
import { type Range, readCurve } from "../history";
import type { JobStore } from "../live/store";
import { query, setQuery } from "../router";
import { say } from "../words";
import { Card, useKeys } from "./controls";
import { type Line, Plot } from "./plot";

const SMOOTHING = 0.6;

function wantedRange(): Range | null {
  const [from, to] = [Number(query.value.get("from") ?? NaN), Number(query.value.get("to") ?? NaN)];
  return Number.isFinite(from) && Number.isFinite(to) && to > from ? { from, to } : null;
}

/** The curve of the range in full detail: as it was fetched, and what has come since. */
function useDetail(id: string, live: Signal<Curve>, drawn: number, range: Range | null): Curve {
  const [detail, setDetail] = useState<{ curve: Curve; key: string } | null>(null);
  const key = range ? `${range.from}-${range.to}` : "";
  const isThinned = live.value.total > live.value.of("loss").length;
  const wanted = key !== "" && isThinned;
  useEffect(() => {
    if (!wanted || !range) return setDetail(null);
    let current = true;
    readCurve(id, range).then(
      ({ curve }) => current && setDetail({ curve, key }),
      () => undefined, // the banner tells; the coarse curve stays
    );
    return () => {
      current = false;
    };
  }, [id, key, wanted, range && range.to > (live.value.of("loss").last()?.step ?? 0) ? Math.floor(drawn / 20) : 0]);
  return wanted && detail?.key === key ? detail.curve : live.value;
}

export function LossChart({ store, ended }: { store: JobStore; ended: boolean }) {
  const drawn = store.drawn.value;
  const range = wantedRange();
  const rangeKey = range ? `${range.from}-${range.to}` : "";
  const curve = useDetail(store.id, store.curve, drawn, range);
  const isLog = query.value.get("log") === "1";
  const asked = query.value.get("smooth");
  const smoothing = asked === null ? SMOOTHING : Math.min(0.99, Math.max(0, Number(asked) || 0));
  const [cursor, setCursor] = useState<number | null>(null);
  const canvas = useRef<HTMLCanvasElement | null>(null);

  const lines = useMemo(
    () => makeLines(curve, smoothing, isLog),
    [curve, drawn, smoothing, isLog, rangeKey, say("raw")],
  );
  const rates = useMemo(() => oneLine(curve, "learning_rate", say("chart_rate"), "--rate"), [curve, drawn, say("raw")]);
  const norms = useMemo(() => oneLine(curve, "grad_norm", say("chart_norm"), "--norm"), [curve, drawn, say("raw")]);

  const machine = useMemo(() => machineLines(curve), [curve, drawn, say("raw")]);

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
      title={say("chart_loss")}
      class="charts"
      aside={
        <>
          <label class="inline">
            {say("smoothing")}
            <input
              type="range"
              min="0"
              max="0.99"
              step="0.01"
              value={smoothing}
              onInput={(event) => setSmoothing(Number(event.currentTarget.value))}
            />
            <output>{smoothing.toFixed(2)}</output>
          </label>
          <label class="inline">
            <input type="checkbox" checked={isLog} onChange={() => setQuery({ log: isLog ? null : "1" })} />
            {say("log_scale")}
          </label>
          {range && (
            <button type="button" onClick={() => onRange(null)}>
              {say("whole_run")}
            </button>
          )}
          <span class="row tight">
            <button
              type="button"
              title={say("save_picture")}
              aria-label={say("save_picture")}
              onClick={() => canvas.current && savePicture(canvas.current, store.id)}
            >
              PNG
            </button>
            <a
              class="button"
              href={`/v1/jobs/${store.id}/metrics?format=csv`}
              download={`${store.id}.csv`}
              title={say("save_csv")}
              aria-label={say("save_csv")}
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
          <b>{say("no_points")}</b>
          {!ended && <span>{say("no_points_hint")}</span>}
        </div>
      ) : (
        <>
          <Plot
            label={say("chart_loss")}
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
            <figure>
              <figcaption>{say("chart_rate")}</figcaption>
              <Plot
                label={say("chart_rate")}
                lines={rates}
                height={130}
                range={range}
                format={axisRate}
                onRange={onRange}
                onCursor={setCursor}
                together={store.id}
              />
            </figure>
            <figure>
              <figcaption>{say("chart_norm")}</figcaption>
              <Plot
                label={say("chart_norm")}
                lines={norms}
                height={130}
                range={range}
                format={axisFigure}
                onRange={onRange}
                onCursor={setCursor}
                together={store.id}
              />
            </figure>
            {machine.map(({ line, format, span, inBytes }) => (
              <figure key={line.name}>
                <figcaption>{line.name}</figcaption>
                <Plot
                  label={line.name}
                  lines={[line]}
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
              ? say("points_of", { shown: count(loss.length), n: count(curve.total) })
              : say("points", { n: count(curve.total) })}
            {" · "}
            {say("zoom_hint")}
            {nonfinite.length > 0 && (
              <b class="bad">
                {" "}
                ·{" "}
                {say("nonfinite_at", { steps: nonfinite.slice(0, 8).join(", ") + (nonfinite.length > 8 ? " …" : "") })}
              </b>
            )}
          </p>
        </>
      )}
    </Card>
  );
}

function makeLines(curve: Curve, smoothing: number, isLog: boolean): Line[] {
  const loss = positive(curve.of("loss"), isLog);
  const lines: Line[] = [];
  if (curve.ghosts.length) {
    lines.push({
      name: say("rewound"),
      series: joinGhosts(curve.ghosts, isLog),
      color: "--muted",
      opacity: 0.45,
      width: 1,
    });
  }
  if (smoothing > 0) lines.push({ name: say("raw"), series: loss, color: "--train", opacity: 0.3, width: 1 });
  lines.push({
    name: smoothing > 0 ? say("smoothed") : say("train_loss"),
    series: new Series([...loss.step], smooth(loss, smoothing).value.slice()),
    color: "--train",
    width: 2,
  });
  const evals = positive(curve.of("eval_loss"), isLog);
  lines.push({
    name: say("eval_loss"),
    series: new Series([...evals.step], [...evals.value]),
    color: "--eval",
    width: 1.25,
    dots: true,
  });
  return lines;
}

/** A log scale has no place for what is not above 0. */
function positive(series: Series, isLog: boolean): Series {
  if (!isLog) return series;
  return new Series(
    series.step,
    series.value.map((one) => (one !== null && one > 0 ? one : null)),
  );
}

function joinGhosts(ghosts: Series[], isLog: boolean): Series {
  const joined = new Series();
  // Oldest first, so that of two ghosts of one step the newer is drawn.
  for (const ghost of ghosts) {
    const shown = positive(ghost, isLog);
    shown.step.forEach((step, at) => joined.add(step, shown.value[at] ?? null));
  }
  return joined;
}

function oneLine(curve: Curve, name: string, label: string, color: string): Line[] {
  const held = curve.of(name);
  return [{ name: label, series: new Series([...held.step], [...held.value]), color, width: 1.5 }];
}

interface Machine {
  line: Line;
  format: (value: number) => string;
  span: [number, number];
  inBytes?: boolean;
}

/** What the machine was doing: its GPU, or its processor where there is none. */
function machineLines(curve: Curve): Machine[] {
  const first = (...names: string[]): string | undefined => names.find((name) => curve.of(name).length > 1);
  const load = first("sys.gpu_percent", "sys.cpu_percent");
  const memory = first("sys.gpu_memory_bytes", "sys.process_rss_bytes");
  const lines: Machine[] = [];
  if (load) {
    const name = say(load === "sys.gpu_percent" ? "gpu_load" : "cpu_load");
    lines.push({
      line: oneLine(curve, load, name, "--muted")[0]!,
      format: (value) => `${Math.round(value)} %`,
      span: [0, 100],
    });
  }
  if (memory) {
    const line = oneLine(curve, memory, say("memory"), "--muted")[0]!;
    // From 0, so that a few megabytes more or less look like that.
    const most = Math.max(...line.series.value.map((one) => one ?? 0));
    lines.push({ line, format: roundBytes, span: [0, most * 1.15], inBytes: true });
  }
  return lines;
}

const axisFigure = (value: number): string => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(0);
  return String(+value.toPrecision(4));
};

/** As many digits as tell one mark from the next, however close together a schedule's rates lie. */
const axisRate = (value: number, increment: number): string => {
  const digits = Math.ceil(Math.log10(Math.abs(value) / increment)) + 1;
  return rate(value, Math.min(7, Math.max(3, digits)));
};

/** The figures under the cursor, or the newest. */
function Readout({ curve, lines, step }: { curve: Curve; lines: Line[]; step: number | null }) {
  const at = step ?? curve.of("loss").last()?.step ?? null;
  const value = (series: Series): number | null => {
    if (at === null) return null;
    const found = series.step.lastIndexOf(at);
    return found < 0 ? null : (series.value[found] ?? null);
  };
  return (
    <dl class="readout" aria-live="off">
      <div>
        <dt>{say("step")}</dt>
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
        <dt>{say("chart_rate")}</dt>
        <dd>{rate(value(curve.of("learning_rate")))}</dd>
      </div>
      <div>
        <dt>{say("chart_norm")}</dt>
        <dd>{figure(value(curve.of("grad_norm")), 3)}</dd>
      </div>
    </dl>
  );
}

function savePicture(canvas: HTMLCanvasElement, id: string): void {
  const sheet = document.createElement("canvas");
  sheet.width = canvas.width;
  sheet.height = canvas.height;
  const pen = sheet.getContext("2d")!;
  pen.fillStyle = getComputedStyle(canvas.closest(".card")!).backgroundColor;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.drawImage(canvas, 0, 0);
  sheet.toBlob((blob) => {
    if (!blob) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${id}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
