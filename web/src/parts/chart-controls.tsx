// The controls above a loss chart: smoothing, log scale, and a button that resets the zoom.
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";

export function ChartControls(props: {
  smoothing: number;
  isLog: boolean;
  isZoomed: boolean;
  onSmoothing: (to: number) => void;
  onLog: () => void;
  onResetZoom: () => void;
}) {
  return (
    <>
      <label class="inline">
        {say(SHARED.smoothing)}
        <input
          type="range"
          min="0"
          max="0.99"
          step="0.01"
          value={props.smoothing}
          onInput={(event) => props.onSmoothing(Number(event.currentTarget.value))}
        />
        <output>{props.smoothing.toFixed(2)}</output>
      </label>
      <label class="inline">
        <input type="checkbox" checked={props.isLog} onChange={props.onLog} />
        {say(SHARED.log_scale)}
      </label>
      {props.isZoomed && (
        <button type="button" onClick={props.onResetZoom}>
          {say(SHARED.reset_zoom)}
        </button>
      )}
    </>
  );
}
