// Builds the lines of a job's charts from its curve, and formats the values on their axes.
import { type Curve, Series, smooth } from "../../curve";
import { rate, roundBytes } from "../../format";
import type { Line } from "../../parts/plot";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";
import { SHARED } from "../../texts/shared";

export function makeLines(curve: Curve, smoothing: number, isLog: boolean): Line[] {
  const loss = positive(curve.of("loss"), isLog);
  const lines: Line[] = [];
  if (curve.ghosts.length) {
    lines.push({
      name: say(JOB.rewound),
      series: joinGhosts(curve.ghosts, isLog),
      color: "--muted",
      opacity: 0.45,
      width: 1,
    });
  }
  if (smoothing > 0) lines.push({ name: say(JOB.raw), series: loss, color: "--train", opacity: 0.3, width: 1 });
  lines.push({
    name: smoothing > 0 ? say(JOB.smoothed) : say(JOB.train_loss),
    series: new Series([...loss.step], smooth(loss, smoothing).value.slice()),
    color: "--train",
    width: 2,
  });
  const evals = positive(curve.of("eval_loss"), isLog);
  lines.push({
    name: say(SHARED.eval_loss),
    series: new Series([...evals.step], [...evals.value]),
    color: "--eval",
    width: 1.25,
    dots: true,
  });
  return lines;
}

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
  // Oldest first, so that the newer ghost wins if two have a point at the same step.
  for (const ghost of ghosts) {
    const shown = positive(ghost, isLog);
    shown.step.forEach((step, at) => joined.add(step, shown.value[at] ?? null));
  }
  return joined;
}

export function oneLine(curve: Curve, name: string, label: string, color: string): Line[] {
  const held = curve.of(name);
  return [{ name: label, series: new Series([...held.step], [...held.value]), color, width: 1.5 }];
}

interface Machine {
  /** Of the first GPU, then of the others. */
  lines: [Line, ...Line[]];
  format: (value: number) => string;
  span: [number, number];
  inBytes?: boolean;
}

/** Return the load and memory use of the GPU, or of the CPU on a host without a GPU. */
export function machineLines(curve: Curve): Machine[] {
  const first = (...names: string[]): string | undefined => names.find((name) => curve.of(name).length > 1);
  const load = first("sys.gpu_percent", "sys.cpu_percent");
  const memory = first("sys.gpu_memory_bytes", "sys.process_rss_bytes");
  const lines: Machine[] = [];
  if (load) {
    const name = say(load === "sys.gpu_percent" ? JOB.gpu_load : JOB.cpu_load);
    lines.push({
      lines: linesOfCards(curve, load, name),
      format: (value) => `${Math.round(value)}%`,
      span: [0, 100],
    });
  }
  if (memory) {
    const ofCards = linesOfCards(curve, memory, say(JOB.memory));
    // The axis starts at 0, so that a change of a few megabytes looks small.
    const most = Math.max(...ofCards.flatMap((line) => line.series.value.map((one) => one ?? 0)));
    lines.push({ lines: ofCards, format: roundBytes, span: [0, most * 1.15], inBytes: true });
  }
  return lines;
}

/** Return the line of a series and, if the job uses several GPUs, those of the other cards, whose names end in `.1`, `.2`, … */
function linesOfCards(curve: Curve, name: string, label: string): [Line, ...Line[]] {
  const first = oneLine(curve, name, label, "--muted")[0]!;
  const others: Line[] = [];
  for (let number = 1; curve.of(`${name}.${number}`).length > 1; number += 1) {
    const [line] = oneLine(curve, `${name}.${number}`, `${label} ${number}`, "--muted");
    others.push({ ...line!, opacity: 0.5, width: 1 });
  }
  return [first, ...others];
}

export const axisFigure = (value: number): string => {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(0);
  return String(+value.toPrecision(4));
};

/** Use enough digits to distinguish adjacent ticks, even if the schedule changes the rate very little. */
export const axisRate = (value: number, increment: number): string => {
  const digits = Math.ceil(Math.log10(Math.abs(value) / increment)) + 1;
  return rate(value, Math.min(7, Math.max(3, digits)));
};
