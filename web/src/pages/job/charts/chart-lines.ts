// Builds the lines of a job's charts from its curve, and formats the values on their axes.
import { type Line, points } from "../../../chart/line";
import type { XAxis } from "../../../chart/scales/x-axis";
import { type Curve, Series, smooth } from "../../../history/curve";
import { bytes, figure, percent, rate, roundBytes } from "../../../format";
import { say } from "../../../texts/say";
import { JOB } from "../../../texts/job/job";
import { SHARED } from "../../../texts/shared";

/** The key of the points of earlier attempts that a later attempt has replaced. */
export const EARLIER = "earlier";

export interface LineOptions {
  axis: XAxis;
  smoothing: number;
  isLog: boolean;
  hidden: ReadonlySet<string>;
}

export function makeLines(curve: Curve, { axis, smoothing, isLog, hidden }: LineOptions): Line[] {
  const loss = positive(curve.of("loss"), isLog);
  const lines: Line[] = [];
  if (curve.ghosts.length) {
    lines.push({
      key: EARLIER,
      name: say(JOB.earlier_attempts),
      ...points(joinGhosts(curve.ghosts, isLog), axis),
      color: "--muted",
      opacity: 0.7,
      width: 1,
    });
  }
  if (smoothing > 0)
    lines.push({ key: "raw", name: say(JOB.raw), ...points(loss, axis), color: "--train", opacity: 0.3, width: 1 });
  lines.push({
    key: "train",
    name: smoothing > 0 ? say(JOB.smoothed) : say(JOB.train_loss),
    ...points(smooth(loss, smoothing), axis),
    color: "--train",
    width: 2,
  });
  lines.push({
    key: "eval",
    name: say(SHARED.eval_loss),
    metric: "eval_loss",
    ...points(positive(curve.of("eval_loss"), isLog), axis),
    color: "--eval",
    width: 1.25,
    dots: true,
  });
  return hide(lines, hidden);
}

const hide = (lines: Line[], hidden: ReadonlySet<string>): Line[] =>
  lines.map((line) => ({ ...line, hidden: hidden.has(line.key) }));

/** Replace values that a log scale cannot show with null. */
function positive(series: Series, isLog: boolean): Series {
  if (!isLog) return series;
  return new Series(
    series.step,
    series.value.map((one) => (one !== null && one > 0 ? one : null)),
  );
}

function joinGhosts(ghosts: Series[], isLog: boolean): Series {
  const joined = new Series();
  // Oldest first: if two ghosts have a point at the same step, the newer one is used.
  for (const ghost of ghosts) {
    const shown = positive(ghost, isLog);
    shown.step.forEach((step, at) => joined.add(step, shown.value[at] ?? null));
  }
  return joined;
}

/** A small chart below the main one. */
export interface Minor {
  /** The line of the whole job or the first GPU, then those of the other GPUs. */
  lines: [Line, ...Line[]];
  /** Formats the value at a tick. */
  format: (value: number, increment: number) => string;
  /** Formats the value at the cursor. */
  exact: (value: number | null) => string;
  height: number;
  span?: [number, number];
  inBytes?: boolean;
}

/** Return the charts of the learning rate, the gradient norm, the token accuracy, and the load and memory use of the GPU (or of the CPU if there is no GPU). */
export function minorCharts(curve: Curve, axis: XAxis, hidden: ReadonlySet<string>): Minor[] {
  const line = (key: string, name: string, label: string, color: string): Line => ({
    key,
    name: label,
    metric: name,
    ...points(curve.of(name), axis),
    color,
    width: 1.5,
  });
  const charts: Minor[] = [
    {
      lines: [line("rate", "learning_rate", say(JOB.chart_rate), "--rate")],
      format: axisRate,
      exact: rate,
      height: 130,
    },
    {
      lines: [line("norm", "grad_norm", say(JOB.chart_norm), "--norm")],
      format: axisFigure,
      exact: (value) => figure(value, 3),
      height: 130,
    },
    {
      lines: accuracyLines(line),
      format: (value) => `${+(100 * value).toPrecision(4)}%`,
      exact: percent,
      height: 130,
    },
    ...machineCharts(curve, line),
  ];
  const measured = charts.filter(({ lines: [first] }) => first.x.length > 0);
  return measured.map((chart) => ({ ...chart, lines: hide(chart.lines, hidden) as Minor["lines"] }));
}

type MakeLine = (key: string, name: string, label: string, color: string) => Line;

/** Return the line of the steps and, if there are evaluations, the line of the evaluations. */
function accuracyLines(line: MakeLine): Minor["lines"] {
  const evaluations = line("eval_accuracy", "eval_token_accuracy", say(JOB.chart_eval_accuracy), "--eval");
  const steps = line("accuracy", "token_accuracy", say(JOB.chart_accuracy), "--train");
  return evaluations.x.length > 0 ? [steps, { ...evaluations, dots: true }] : [steps];
}

function machineCharts(curve: Curve, line: MakeLine): Minor[] {
  const first = (...names: string[]): string | undefined => names.find((name) => curve.of(name).length > 1);
  const load = first("sys.gpu_percent", "sys.cpu_percent");
  const memory = first("sys.gpu_memory_bytes", "sys.process_rss_bytes");
  const charts: Minor[] = [];
  if (load) {
    const format = (value: number | null): string => (value === null ? figure(null) : `${Math.round(value)}%`);
    const name = say(load === "sys.gpu_percent" ? JOB.gpu_load : JOB.cpu_load);
    charts.push({
      lines: linesOfCards(curve, line, "load", load, name),
      format,
      exact: format,
      height: 110,
      span: [0, 100],
    });
  }
  if (memory) {
    const lines = linesOfCards(curve, line, "memory", memory, say(JOB.memory));
    // The axis starts at 0, so that a change of a few megabytes looks small.
    const most = lines.reduce((max, one) => one.series.value.reduce<number>((m, v) => Math.max(m, v ?? 0), max), 0);
    charts.push({ lines, format: roundBytes, exact: bytes, height: 110, span: [0, most * 1.15], inBytes: true });
  }
  return charts;
}

/** Return the line of a series and, if the job uses several GPUs, those of the other cards, whose names end in `.1`, `.2`, … */
function linesOfCards(curve: Curve, line: MakeLine, key: string, name: string, label: string): Minor["lines"] {
  const others: Line[] = [];
  for (let n = 1; curve.of(`${name}.${n}`).length > 1; n += 1)
    others.push({ ...line(`${key}${n}`, `${name}.${n}`, `${label} ${n}`, "--muted"), opacity: 0.5, width: 1 });
  return [line(key, name, label, "--muted"), ...others];
}

export const axisFigure = (value: number): string => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(0);
  return String(+value.toPrecision(4));
};

/** Use enough digits to distinguish adjacent ticks, even if the schedule changes the rate very little. */
const axisRate = (value: number, increment: number): string => {
  const digits = value === 0 ? 3 : Math.ceil(Math.log10(Math.abs(value) / increment)) + 1;
  return rate(value, Math.min(7, Math.max(3, digits)));
};
