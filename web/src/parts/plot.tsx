// A live plot over steps, drawn by uPlot: lines and dots. Dragging selects a range.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Series } from "../curve";
import { shortStep } from "../format";
import { isDark, language } from "../preferences";

export interface Line {
  name: string;
  series: Series;
  /** Name of a CSS variable. */
  color: string;
  width?: number;
  opacity?: number;
  dots?: boolean;
  hidden?: boolean;
}

interface Props {
  label: string;
  lines: Line[];
  height: number;
  log?: boolean;
  /** The minimum range of the value axis, such as 0 to 100 for a load. */
  span?: [number, number] | undefined;
  /** Whether the values are bytes, which get ticks at powers of 2. */
  inBytes?: boolean | undefined;
  range?: { from: number; to: number } | null;
  /** Formats the value at a tick; `increment` is the distance between ticks. */
  format: (value: number, increment: number) => string;
  onRange?: (range: { from: number; to: number } | null) => void;
  onCursor?: (step: number | null) => void;
  /** Charts with the same key share one cursor. */
  together?: string;
  onCanvas?: (canvas: HTMLCanvasElement) => void;
}

/** Minimum pixels per dot, so that dots do not overlap. */
const DOT_WIDTH = 12;

const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);

/** Return the current color of a CSS variable in a form that a canvas accepts. */
function ink(variable: string, opacity = 1): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return opacity === 1 ? color : color.replace(/rgba?\(([^,]+),([^,]+),([^,)]+).*/, `rgba($1,$2,$3,${opacity})`);
}

function options(props: Props, width: number, latest: { current: Props }): uPlot.Options {
  const [text, grid] = [ink("--muted"), ink("--line")];
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
  return {
    width,
    height: props.height,
    legend: { show: false },
    padding: [8, 16, 0, 0],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      ...(props.together ? { sync: { key: props.together, setSeries: false } } : {}),
      bind: {
        dblclick: () => () => {
          latest.current.onRange?.(null);
          return null;
        },
      },
    },
    scales: {
      x: { time: false, range: (_, min, max) => xRange(latest.current, min, max) },
      y: props.log ? { distr: 3 } : { range: (_, min, max) => yRange(props.span, min, max) },
    },
    axes: [
      { ...axis, size: 26, values: (_, splits) => splits.map((one) => (Number.isInteger(one) ? shortStep(one) : "")) },
      {
        ...axis,
        ...(props.inBytes ? { incrs: POWERS } : {}),
        size: (_, marks) => Math.max(58, ...(marks ?? []).map((mark) => 15 + 7 * mark.length)),
        values: (_, splits, __, ___, increment) =>
          splits.map((one) => (one === null ? "" : props.format(one, increment))),
      },
    ],
    series: [
      {},
      ...props.lines.map((line, at): uPlot.Series => ({
        label: line.name,
        stroke: ink(line.color, line.opacity),
        width: line.width ?? 1.5,
        show: !line.hidden,
        points: line.dots
          ? {
              show: (plot) => haveRoom(plot, latest.current.lines[at]),
              size: 7,
              fill: ink(line.color),
              stroke: ink("--card"),
              width: 1.5,
            }
          : { show: line.series.length < 3, size: 4, fill: ink(line.color) },
      })),
    ],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 4) return;
          const from = Math.max(0, Math.floor(plot.posToVal(left, "x")));
          const to = Math.ceil(plot.posToVal(left + wide, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (to > from) latest.current.onRange?.({ from, to });
        },
      ],
      setCursor: [
        (plot) => {
          const at = plot.cursor.idx;
          latest.current.onCursor?.(at === null || at === undefined ? null : (plot.data[0][at] ?? null));
        },
      ],
    },
  };
}

/** Return whether there is room for a dot at each visible point of a line. */
function haveRoom(plot: uPlot, line: Line | undefined): boolean {
  const { min, max } = plot.scales.x!;
  return line !== undefined && line.series.between(min ?? 0, max ?? 0).length * DOT_WIDTH < plot.width;
}

function xRange(props: Props, min: number | null, max: number | null): [number, number] {
  if (props.range) return [props.range.from, props.range.to];
  if (min === null || max === null) return [0, 10];
  return min === max ? [min - 1, max + 1] : [min, max];
}

function yRange(span: [number, number] | undefined, min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return span ?? [0, 1];
  if (span && min >= span[0] && max <= span[1]) return span;
  return uPlot.rangeNum(min, max, 0.08, false) as [number, number];
}

/** Align the lines on one axis of steps. A line that has no point at a step is drawn straight to its next point. */
function align(lines: Line[]): uPlot.AlignedData {
  const shown = lines.map((line): uPlot.AlignedData => [line.series.step, line.series.value]);
  return shown.length === 1 ? shown[0]! : uPlot.join(shown);
}

export function Plot(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const shape = JSON.stringify([
    props.lines.map((line) => [
      line.name,
      line.color,
      line.width,
      line.opacity,
      line.dots,
      line.hidden,
      line.series.length < 3,
    ]),
    props.log,
    props.height,
    isDark.value,
    language.value,
  ]);

  useEffect(() => {
    const element = place.current!;
    const made = new uPlot(
      options(latest.current, element.clientWidth || 300, latest),
      align(latest.current.lines),
      element,
    );
    plot.current = made;
    latest.current.onCanvas?.(made.ctx.canvas);
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: latest.current.height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(align(props.lines), true);
  }, [props.lines, props.range?.from, props.range?.to]);

  // The height is set before the plot is drawn, so that the layout does not shift.
  return (
    <div ref={place} class="plot" style={{ minHeight: `${props.height}px` }} role="img" aria-label={props.label} />
  );
}
