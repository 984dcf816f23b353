// The controls above a chart.
import type { ComponentChildren } from "preact";
import { CHART } from "../texts/job/chart";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";
import type { ChartActions, ChartView } from "./view";
import { X_KINDS, type XKind } from "./scales/x-axis";

interface Props {
  view: ChartView;
  actions: ChartActions;
  /** Additional controls, shown after the check boxes. */
  children?: ComponentChildren;
}

export function ChartControls({ view, actions, children }: Props) {
  return (
    <>
      <label class="inline">
        {say(SHARED.smoothing)}
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={view.smoothing}
          onInput={(event) => actions.smooth(Number(event.currentTarget.value))}
        />
        <output>{view.smoothing.toFixed(2)}</output>
      </label>
      <select
        aria-label={say(CHART.x_axis)}
        title={say(CHART.x_axis)}
        value={view.x}
        onChange={(event) => actions.chooseX(event.currentTarget.value as XKind)}
      >
        {X_KINDS.map((kind) => (
          <option key={kind} value={kind}>
            {say(CHART[`x_${kind}`])}
          </option>
        ))}
      </select>
      <Check label={say(SHARED.log_scale)} on={view.isLog} toggle={actions.toggleLog} />
      <Check label={say(CHART.outliers)} on={view.ignoresOutliers} toggle={actions.toggleOutliers} />
      {children}
      {view.range && (
        <button type="button" onClick={() => actions.zoom(null)}>
          {say(SHARED.reset_zoom)}
        </button>
      )}
    </>
  );
}

export function Check({ label, on, toggle }: { label: string; on: boolean; toggle: () => void }) {
  return (
    <label class="inline">
      <input type="checkbox" checked={on} onChange={toggle} />
      {label}
    </label>
  );
}

/** The buttons that fill the screen with the chart and that save it. */
export function ChartButtons({ view, actions, save, children }: Props & { save: (format: "png" | "svg") => void }) {
  const full = say(view.isFull ? CHART.leave_full : CHART.full);
  return (
    <span class="row tight">
      <Small label={say(CHART.save_png)} onClick={() => save("png")}>
        PNG
      </Small>
      <Small label={say(CHART.save_svg)} onClick={() => save("svg")}>
        SVG
      </Small>
      {children}
      <Small label={full} onClick={actions.toggleFull}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d={view.isFull ? "M3 3l10 10M13 3L3 13" : "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4"} />
        </svg>
      </Small>
    </span>
  );
}

function Small({ label, onClick, children }: { label: string; onClick: () => void; children: ComponentChildren }) {
  return (
    <button type="button" title={label} aria-label={label} onClick={onClick}>
      {children}
    </button>
  );
}
