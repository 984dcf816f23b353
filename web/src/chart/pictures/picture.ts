// Saves a chart as PNG or SVG, with title, legend and axes, as the page shows it.
import { CHART } from "../../texts/job/chart";
import { say } from "../../texts/say";
import { ink } from "../ink";
import { type Line, type Mark, valueRange } from "../line";
import { yTicks } from "../options";
import type { PlotProps } from "../plot-props";
import { formatX, xTicks } from "../scales/x-axis";
import { type Picture, type Shape, toCanvas, toSvg } from "./shapes";

const [WIDTH, HEIGHT, MARGIN, SCALE] = [1200, 640, 24, 2];
const LEGEND_ROW = 20;
const MOST_NAME = 48;

interface Chart extends Pick<PlotProps, "lines" | "marks" | "remainder" | "x" | "y" | "format"> {
  title: string;
  subtitle: string;
}

/** Make the browser save the chart as `name`.png or `name`.svg. */
export function saveChart(chart: Chart, name: string, format: "png" | "svg"): void {
  const picture = pictureOf(chart);
  if (format === "svg") return save(new Blob([toSvg(picture)], { type: "image/svg+xml" }), `${name}.svg`);
  toCanvas(picture, SCALE).toBlob((blob) => blob && save(blob, `${name}.png`));
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function pictureOf(chart: Chart): Picture {
  const font = getComputedStyle(document.body).fontFamily;
  const [text, muted, grid] = [ink("--ink"), ink("--muted"), ink("--line")];
  const lines = chart.lines.filter((line) => !line.hidden && line.x.length > 0);
  const legend = legendOf(chart, lines, font);
  const frame = { x: MARGIN + 60, y: legend.bottom + 8, width: 0, height: 0 };
  frame.width = WIDTH - MARGIN - frame.x;
  frame.height = HEIGHT - MARGIN - 36 - frame.y;
  const [from, to] = chart.x.range;
  const [low, high] = valueRange(chart.lines, chart.x.range, chart.y);
  const map = (value: number): number => (chart.y.isLog ? Math.log(value) : value);
  const place = {
    x: (x: number) => frame.x + ((x - from) / (to - from)) * frame.width,
    y: (y: number) => frame.y + frame.height - ((map(y) - map(low)) / (map(high) - map(low))) * frame.height,
  };
  const outside: Shape[] = [
    { kind: "text", x: MARGIN, y: MARGIN + 14, text: chart.title, size: 18, fill: text, bold: true },
    { kind: "text", x: MARGIN, y: MARGIN + 34, text: chart.subtitle, size: 12, fill: muted },
    ...legend.shapes,
  ];
  const inside: Shape[] = [];
  if (chart.remainder) {
    const left = place.x(chart.remainder.from);
    inside.push({
      kind: "box",
      x: left,
      y: frame.y,
      width: WIDTH - left,
      height: frame.height,
      fill: ink("--edge", 0.16),
    });
  }
  const bottom = frame.y + frame.height;
  const columns = xTicks(chart.x.kind, from, to, 10);
  for (const at of columns.at) {
    const x = place.x(at);
    inside.push(rule([x, frame.y], [x, bottom], grid));
    outside.push({
      kind: "text",
      x,
      y: bottom + 16,
      text: formatX(chart.x.kind, at, columns.increment),
      size: 11,
      fill: muted,
      anchor: "middle",
    });
  }
  const rows = yTicks(chart, low, high, 9);
  for (const at of rows.at) {
    const y = place.y(at);
    inside.push(rule([frame.x, y], [WIDTH - MARGIN, y], grid));
    outside.push({
      kind: "text",
      x: frame.x - 8,
      y: y + 4,
      text: chart.format(at, rows.increment),
      size: 11,
      fill: muted,
      anchor: "end",
    });
  }
  outside.push(
    {
      kind: "text",
      x: WIDTH - MARGIN,
      y: bottom + 34,
      text: say(CHART[`x_${chart.x.kind}`]),
      size: 12,
      fill: muted,
      anchor: "end",
    },
    { kind: "text", x: MARGIN, y: frame.y - 2, text: say(CHART.loss_axis), size: 12, fill: muted },
  );
  for (const line of lines) inside.push(...shapesOf(line, place));
  inside.push(...(chart.marks ?? []).map((mark) => shapeOf(mark, place.x(mark.x), frame.y, bottom)));
  return { width: WIDTH, height: HEIGHT, font, background: ink("--card"), frame, inside, outside };
}

const rule = (from: [number, number], to: [number, number], stroke: string): Shape => ({
  kind: "path",
  points: [[from, to]],
  stroke,
});

function shapesOf(line: Line, place: { x: (x: number) => number; y: (y: number) => number }): Shape[] {
  const parts: [number, number][][] = [[]];
  line.x.forEach((x, at) => {
    const value = line.series.value[at];
    if (value === null || value === undefined) parts.push([]);
    else parts.at(-1)!.push([place.x(x), place.y(value)]);
  });
  const path: Shape = {
    kind: "path",
    points: parts.filter((part) => part.length > 0),
    stroke: ink(line.color, line.opacity),
    width: line.width ?? 1.5,
  };
  const isRoom = line.dots && line.x.length < WIDTH / 12;
  const dots = isRoom
    ? parts
        .flat()
        .map(([x, y]): Shape => ({ kind: "dot", x, y, radius: 3.5, fill: ink(line.color), stroke: ink("--card") }))
    : [];
  return [path, ...dots];
}

function shapeOf(mark: Mark, x: number, top: number, bottom: number): Shape {
  if (mark.kind === "attempt")
    return {
      kind: "path",
      points: [
        [
          [x, top],
          [x, bottom],
        ],
      ],
      stroke: ink("--muted"),
      dash: [4, 3],
    };
  const [y, color] = mark.kind === "checkpoint" ? [bottom, "--muted"] : [top + 14, "--warn"];
  return {
    kind: "path",
    points: [
      [[x - 4, y], [x, y - 6.4], [x + 4, y], ...(mark.kind === "warning" ? [[x, y + 6.4] as [number, number]] : [])],
    ],
    fill: ink(color),
  };
}

function legendOf(chart: Chart, lines: Line[], font: string): { shapes: Shape[]; bottom: number } {
  const pen = document.createElement("canvas").getContext("2d")!;
  pen.font = `12px ${font}`;
  let [x, y] = [MARGIN, MARGIN + 60];
  const shapes: Shape[] = [];
  const entry = (name: string, swatch: (x: number, y: number) => Shape): void => {
    const text = name.length > MOST_NAME ? `${name.slice(0, MOST_NAME)}…` : name;
    const width = 22 + pen.measureText(text).width + 20;
    if (x + width > WIDTH - MARGIN && x > MARGIN) [x, y] = [MARGIN, y + LEGEND_ROW];
    shapes.push(swatch(x, y - 4), { kind: "text", x: x + 22, y, text, size: 12, fill: ink("--ink") });
    x += width;
  };
  for (const line of lines)
    entry(line.name, (x, y) =>
      line.dots
        ? { kind: "dot", x: x + 8, y, radius: 4, fill: ink(line.color), stroke: ink("--card") }
        : { kind: "box", x, y: y - 1.5, width: 16, height: 3, fill: ink(line.color, line.opacity) },
    );
  if (chart.marks?.some((mark) => mark.kind === "attempt"))
    entry(say(CHART.attempts), (x, y) => rule([x + 8, y - 8], [x + 8, y + 6], ink("--muted")));
  if (chart.marks?.some((mark) => mark.kind === "checkpoint"))
    entry(say(CHART.checkpoints), (x, y) => shapeOf({ kind: "checkpoint" } as Mark, x + 8, 0, y + 4));
  if (chart.marks?.some((mark) => mark.kind === "warning"))
    entry(say(CHART.warnings), (x, y) => shapeOf({ kind: "warning" } as Mark, x + 8, y - 14, y));
  return { shapes, bottom: y + 12 };
}
