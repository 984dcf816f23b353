// A live chart, drawn by uPlot: lines, dots and marks. Dragging selects a range. Charts with the same cursor show it together.
import { useSignalEffect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { isDark, language } from "../preferences";
import type { Line } from "./line";
import { options } from "./options";
import type { PlotProps } from "./plot-props";
import { exposeScales, watchPlot } from "./probe";

const REACH = 6;
const MIN_DRAG = 4;

/** Lines, and their points aligned on one axis. */
interface Aligned {
  lines: Line[];
  data: uPlot.AlignedData;
}

/**
 * Align the lines on one axis. A line that has no point at a position is drawn straight to its next point. `before` is returned if the
 * points are the same, because aligning many lines takes time.
 */
function align(lines: Line[], before: Aligned | null): Aligned {
  const isSame = ({ x, series }: Line, at: number): boolean =>
    x === before?.lines[at]?.x && series === before.lines[at]!.series;
  if (before?.lines.length === lines.length && lines.every(isSame)) return before;
  const points = lines.map((line): uPlot.AlignedData => [line.x, line.series.value]);
  return { lines, data: points.length === 1 ? points[0]! : uPlot.join(points) };
}

/** Connect a chart's mouse events to the shared cursor and to the selection of a range. */
function hooks(latest: { current: PlotProps }): uPlot.Hooks.Arrays {
  return {
    setCursor: [
      (plot) => {
        const { cursor } = latest.current;
        const left = plot.cursor.left ?? -1;
        if (left < 0) {
          if (cursor.peek()?.by === plot) cursor.value = null;
        } else if (plot.over.matches(":hover")) {
          const x = plot.posToVal(left, "x");
          cursor.value = { x, reach: plot.posToVal(left + REACH, "x") - x, by: plot };
        }
      },
    ],
    setSelect: [
      (plot) => {
        const { left, width } = plot.select;
        if (width < MIN_DRAG) return;
        const range: [number, number] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        latest.current.onRange(range);
      },
    ],
    draw: import.meta.env.MODE === "probed" ? [exposeScales] : [],
  };
}

function make(place: HTMLElement, latest: { current: PlotProps }, data: uPlot.AlignedData): uPlot {
  const all = options(latest.current, place.clientWidth || 300, latest);
  all.cursor!.bind = {
    dblclick: () => () => {
      latest.current.onRange(null);
      return null;
    },
  };
  return new uPlot({ ...all, plugins: [{ hooks: hooks(latest) }] }, data, place);
}

/** Make a chart show these lines, whose points are `data`. */
function update(plot: uPlot, lines: Line[], data: uPlot.AlignedData): void {
  plot.batch(() => {
    lines.forEach((line, at) => {
      const show = !line.hidden;
      if (plot.series[at + 1]!.show !== show) plot.setSeries(at + 1, { show }, false);
    });
    plot.setData(data, true);
  });
}

export function Plot(props: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const { cursor } = props;
  const isNew = useRef(false);
  const aligned = useRef<Aligned | null>(null);
  aligned.current = align(props.lines, aligned.current);
  const { data } = aligned.current;
  const shape = JSON.stringify([
    props.lines.map((line) => [line.name, line.color, line.width, line.opacity, line.dots, line.x.length < 3]),
    props.y.isLog,
    isDark.value,
    language.value,
  ]);

  // A layout effect, so that the page and its charts appear in one frame.
  useLayoutEffect(() => {
    const element = place.current!;
    const made = make(element, latest, data);
    plot.current = made;
    isNew.current = true;
    if (import.meta.env.MODE === "probed") watchPlot(element, made);
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: latest.current.height }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    if (plot.current && !isNew.current) update(plot.current, props.lines, data);
    isNew.current = false;
    // Depends on the shape too, so that it runs after each new chart and the next change is not skipped.
  }, [shape, props.lines, ...props.x.range, props.x.kind, props.y.ignoresOutliers, props.marks, props.remainder?.from]);

  useEffect(() => {
    plot.current?.setSize({ width: place.current!.clientWidth || 300, height: props.height });
  }, [props.height]);

  useSignalEffect(() => {
    const at = cursor.value;
    const made = plot.current;
    if (!made || at?.by === made) return;
    made.setCursor({ left: at ? made.valToPos(at.x, "x") : -10, top: 0 }, false);
  });

  // An image has no content for screen readers, so it cannot contain the buttons of the warnings.
  const role = props.onMark && props.marks?.some((mark) => mark.kind === "warning") ? "group" : "img";
  // The height is set before the plot is drawn, so that the layout does not shift.
  return (
    <div ref={place} class="plot" style={{ minHeight: `${props.height}px` }} role={role} aria-label={props.label} />
  );
}
