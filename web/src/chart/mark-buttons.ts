// Buttons over the warnings of a chart, which lead to their steps. The chart draws the warnings; the buttons are transparent.
import type uPlot from "uplot";
import { spaced } from "./marks";
import type { PlotProps } from "./plot-props";

/** Give each warning that the chart draws a button. Existing buttons are reused, so that the focused one keeps the focus. */
export function placeButtons(plot: uPlot, { marks, onMark }: PlotProps): void {
  const shown = onMark ? spaced(plot, marks, "warning") : [];
  const buttons = [...plot.over.querySelectorAll<HTMLButtonElement>("button.mark")];
  buttons.splice(shown.length).forEach((button) => button.remove());
  shown.forEach((mark, at) => {
    const button = buttons[at] ?? plot.over.appendChild(document.createElement("button"));
    button.type = "button";
    button.className = "mark";
    button.title = button.ariaLabel = mark.text;
    button.style.left = `${plot.valToPos(mark.x, "x")}px`;
    button.onclick = () => onMark!(mark);
  });
}
