// The smaller charts below the job's losses. The caption of each shows its values at the cursor.
import { type Line, pointAt } from "../../../chart/line";
import { Plot } from "../../../chart/plot";
import type { Cursor, PlotProps } from "../../../chart/plot-props";
import { LineEntry } from "../../../chart/legend";
import type { XAxis } from "../../../chart/scales/x-axis";
import type { Minor } from "./chart-lines";

interface Props {
  minors: Minor[];
  axis: XAxis;
  shared: Pick<PlotProps, "x" | "cursor" | "marks" | "remainder" | "onRange">;
  ignoresOutliers: boolean;
  toggle: (key: string) => void;
}

export function MinorCharts({ minors, shared, ignoresOutliers, toggle }: Props) {
  const marks = (shared.marks ?? []).filter((mark) => mark.kind === "attempt");
  return (
    <div class="minor">
      {minors.map(({ lines, format, exact, height, span, inBytes }) => (
        <figure key={lines[0].key}>
          <figcaption>
            <dl class="readout">
              {lines.map((line) => (
                <LineEntry key={line.key} line={line} toggle={() => toggle(line.key)}>
                  <ValueAt line={line} shared={shared} exact={exact} />
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
  shared: Props["shared"];
  exact: Minor["exact"];
}

/** The value of the visible point nearest to the cursor; without a cursor, the newest value. */
function ValueAt({ line, shared, exact }: ValueProps) {
  const at: Cursor | null = shared.cursor.value;
  return <>{exact(pointAt(line, at && at.x, shared.x.range)?.value ?? null)}</>;
}
