// Translates the properties of a chart into uPlot's options.
import uPlot from "uplot";
import { ink } from "./ink";
import { type Line, valueRange } from "./line";
import { placeButtons } from "./mark-buttons";
import { drawBehind, drawInFront } from "./marks";
import type { PlotProps } from "./plot-props";
import { byteTicks, linearTicks, logTicks, type Ticks } from "./scales/ticks";
import { formatX, xTicks } from "./scales/x-axis";

/** Minimum pixels per dot, so that dots do not overlap. */
const DOT_WIDTH = 12;
/** A line's point is marked if it is within this many pixels of the cursor. */
const NEAR = 30;
const TICK_WIDTH = 80;
const TICK_HEIGHT = 34;

/** `latest` holds the properties of the newest render, which uPlot reads when it draws. */
export function options(props: PlotProps, width: number, latest: { current: PlotProps }): uPlot.Options {
  const [text, grid] = [ink("--muted"), ink("--line")];
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
  const x = (min: number, max: number, size: number): Ticks =>
    xTicks(latest.current.x.kind, min, max, Math.max(2, size / TICK_WIDTH));
  const y = (min: number, max: number, size: number): Ticks =>
    yTicks(latest.current, min, max, Math.max(2, size / TICK_HEIGHT));
  const [wide, high] = [
    (plot: uPlot) => plot.bbox.width / devicePixelRatio || width,
    (plot: uPlot) => plot.bbox.height / devicePixelRatio || props.height,
  ];
  return {
    width,
    height: props.height,
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      // The nearest evaluation is marked at any distance; a line that ends before the cursor is not.
      hover: { prox: (_, at) => (latest.current.lines[at - 1]?.dots ? Infinity : NEAR) },
    },
    scales: {
      x: { time: false, range: () => latest.current.x.range },
      y: {
        distr: props.y.isLog ? 3 : 1,
        range: () => valueRange(latest.current.lines, latest.current.x.range, latest.current.y),
      },
    },
    axes: [
      {
        ...axis,
        size: 26,
        splits: (plot, _, min, max) => x(min, max, wide(plot)).at,
        values: (plot, splits) => {
          const { increment } = x(plot.scales.x!.min!, plot.scales.x!.max!, wide(plot));
          return splits.map((one) => formatX(latest.current.x.kind, one, increment));
        },
      },
      {
        ...axis,
        size: (_, marks) => Math.max(58, ...(marks ?? []).map((mark) => 15 + 7 * mark.length)),
        splits: (plot, _, min, max) => y(min, max, high(plot)).at,
        filter: (_, splits) => splits,
        values: (plot, splits) => {
          const { increment } = y(plot.scales.y!.min!, plot.scales.y!.max!, high(plot));
          return splits.map((one) => (one === null ? "" : props.format(one, increment)));
        },
      },
    ],
    series: [
      {},
      ...props.lines.map((line, at) => lineOptions(line, (plot) => haveRoom(plot, latest.current.lines[at]))),
    ],
    hooks: {
      drawAxes: [(plot) => drawBehind(plot, latest.current)],
      draw: [
        (plot) => {
          drawInFront(plot, latest.current);
          placeButtons(plot, latest.current);
        },
      ],
    },
  };
}

function lineOptions(line: Line, isRoomForDots: (plot: uPlot) => boolean): uPlot.Series {
  return {
    label: line.name,
    stroke: ink(line.color, line.opacity),
    width: line.width ?? 1.5,
    show: !line.hidden,
    points: line.dots
      ? { show: isRoomForDots, size: 7, fill: ink(line.color), stroke: ink("--card"), width: 1.5 }
      : { show: line.x.length < 3, size: 4, fill: ink(line.color) },
  };
}

/** Return whether there is room for a dot at each visible point of a line. */
function haveRoom(plot: uPlot, line: Line | undefined): boolean {
  const { min, max } = plot.scales.x!;
  if (line === undefined) return false;
  const visible = line.x.filter((x) => x >= (min ?? 0) && x <= (max ?? 0)).length;
  return visible * DOT_WIDTH < plot.width;
}

export function yTicks(props: Pick<PlotProps, "y" | "inBytes">, min: number, max: number, most: number): Ticks {
  if (props.y.isLog) return logTicks(min, max, most);
  return props.inBytes ? byteTicks(min, max, most) : linearTicks(min, max, most);
}
