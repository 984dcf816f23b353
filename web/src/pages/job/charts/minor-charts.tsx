// The smaller charts below the job's losses. The caption of each shows its values at the cursor.
import type { Signal } from "@preact/signals";
import type { Line } from "../../../chart/line";
import { Plot } from "../../../chart/plot";
import type { Cursor, PlotProps } from "../../../chart/plot-props";
import { LineEntry } from "../../../chart/legend";
import type { XAxis } from "../../../chart/scales/x-axis";
import type { StepValues } from "../../../history/read";
import type { Minor } from "./chart-lines";
import { reading, sayFrom } from "./hovered";

interface Props {
  minors: Minor[];
  axis: XAxis;
  shared: Pick<PlotProps, "x" | "cursor" | "marks" | "remainder" | "onRange">;
  /** Returns the step under the cursor. */
  stepAt: (cursor: Cursor) => number | null;
  /** The values of that step, once they have been read. */
  exact: Signal<StepValues | null>;
  ignoresOutliers: boolean;
  toggle: (key: string) => void;
}

export function MinorCharts({ minors, axis, shared, stepAt, exact: values, ignoresOutliers, toggle }: Props) {
  const marks = (shared.marks ?? []).filter((mark) => mark.kind === "attempt");
  return (
    <div class="minor">
      {minors.map(({ lines, format, exact, height, span, inBytes }) => (
        <figure key={lines[0].key}>
          <figcaption>
            <dl class="readout">
              {lines.map((line) => (
                <LineEntry key={line.key} line={line} toggle={() => toggle(line.key)}>
                  <ValueAt line={line} {...{ axis, shared, stepAt, values, format: exact }} />
                </LineEntry>
              ))}
            </dl>
          </figcaption>
          {lines.some((line) => !line.hidden) && (
            <Plot
              {...shared}
              marks={marks}
              remainder={shared.remainder && { ...shared.remainder, label: "" }}
              label={lines[0].name}
              lines={lines}
              height={height}
              y={{ isLog: false, ignoresOutliers, span }}
              inBytes={inBytes}
              format={format}
            />
          )}
        </figure>
      ))}
    </div>
  );
}

interface ValueProps {
  line: Line;
  axis: XAxis;
  shared: Props["shared"];
  stepAt: Props["stepAt"];
  values: Props["exact"];
  format: Minor["exact"];
}

/** The value at the cursor, with its step if that is not the step under the cursor; without a cursor, the newest visible value. */
function ValueAt({ line, axis, shared, stepAt, values, format }: ValueProps) {
  const at = shared.cursor.value;
  const step = at && stepAt(at);
  const x = step === null ? at && at.x : axis.at(step);
  const found = reading(line, { x, step, range: shared.x.range }, values.value);
  return (
    <>
      {format(found?.value ?? null)}
      {at && found?.from != null && <small>{sayFrom(found.from)}</small>}
    </>
  );
}
