// Draws everything but lines on a chart's canvas: attempts, checkpoints, warnings, and the remaining part of the run.
import type uPlot from "uplot";
import { ink } from "./ink";
import type { Mark } from "./line";
import type { PlotProps } from "./plot-props";

/** Minimum distance between two triangles, in CSS pixels. */
const GAP = 9;

/** Draw the remainder and the attempts, behind the lines. */
export function drawBehind(plot: uPlot, { remainder, marks }: PlotProps): void {
  const { ctx: pen, bbox } = plot;
  const ratio = devicePixelRatio;
  pen.save();
  if (remainder) drawRemainder(plot, remainder);
  pen.strokeStyle = pen.fillStyle = ink("--muted");
  pen.lineWidth = ratio;
  pen.setLineDash([4 * ratio, 3 * ratio]);
  pen.textAlign = "left"; // the axes, which are drawn first, may leave a different value
  pen.font = `${10 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  for (const mark of visible(plot, marks, "attempt")) {
    const x = Math.round(plot.valToPos(mark.x, "x", true));
    pen.beginPath();
    pen.moveTo(x, bbox.top);
    pen.lineTo(x, bbox.top + bbox.height);
    pen.stroke();
    if (mark.label) pen.fillText(mark.label, x + 3 * ratio, bbox.top + 9 * ratio);
  }
  pen.restore();
}

function drawRemainder(plot: uPlot, { from, label }: NonNullable<PlotProps["remainder"]>): void {
  const { ctx: pen, bbox } = plot;
  const ratio = devicePixelRatio;
  const right = bbox.left + bbox.width;
  const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
  if (left >= right) return;
  pen.fillStyle = ink("--edge", 0.16);
  pen.fillRect(left, bbox.top, right - left, bbox.height);
  pen.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  if (pen.measureText(label).width + 16 * ratio > right - left) return;
  pen.fillStyle = ink("--muted");
  pen.textAlign = "center";
  pen.fillText(label, (left + right) / 2, bbox.top + bbox.height / 2);
  pen.textAlign = "left";
}

/** Draw checkpoints as triangles at the lower edge, and warnings as diamonds at the upper edge. */
export function drawInFront(plot: uPlot, { marks }: PlotProps): void {
  const { ctx: pen, bbox } = plot;
  const ratio = devicePixelRatio;
  pen.save();
  for (const [kind, color, y] of [
    ["checkpoint", "--muted", bbox.top + bbox.height],
    ["warning", "--warn", bbox.top + 14 * ratio],
  ] as const) {
    pen.fillStyle = ink(color);
    pen.beginPath();
    for (const mark of spaced(plot, marks, kind)) {
      const x = plot.valToPos(mark.x, "x", true);
      const size = 4 * ratio;
      pen.moveTo(x - size, y);
      pen.lineTo(x, y - 1.6 * size);
      pen.lineTo(x + size, y);
      if (kind === "warning") pen.lineTo(x, y + 1.6 * size);
      pen.closePath();
    }
    pen.fill();
  }
  pen.restore();
}

/** Return the visible marks of a kind, without those too close to the one before. */
export function spaced(plot: uPlot, marks: Mark[] | undefined, kind: Mark["kind"]): Mark[] {
  let last = -Infinity;
  return visible(plot, marks, kind).filter(({ x }) => {
    const at = plot.valToPos(x, "x");
    if (at - last < GAP) return false;
    last = at;
    return true;
  });
}

function visible(plot: uPlot, marks: Mark[] | undefined, kind: Mark["kind"]): Mark[] {
  const { min, max } = plot.scales.x!;
  return (marks ?? []).filter((mark) => mark.kind === kind && mark.x >= min! && mark.x <= max!);
}
