// What a chart shows, and what it reports.
import type { Signal } from "@preact/signals";
import type { Line, Mark, YScale } from "./line";
import type { XKind } from "./scales/x-axis";

/** The position of the cursor on the horizontal axis. */
export interface Cursor {
  x: number;
  /** Maximum distance at which the cursor points at a mark. */
  reach: number;
  /** The chart under the mouse. */
  by: unknown;
}

export interface PlotProps {
  label: string;
  lines: Line[];
  height: number;
  x: { kind: XKind; range: [number, number] };
  y: YScale;
  /** Whether the values are bytes, which get ticks at powers of 2. */
  inBytes?: boolean | undefined;
  /** Formats the value at a tick; `increment` is the distance between ticks. */
  format: (value: number, increment: number) => string;
  onRange: (range: [from: number, to: number] | null) => void;
  cursor: Signal<Cursor | null>;
  marks?: Mark[];
  /** Called when the reader selects a warning, which is then a button. */
  onMark?: (mark: Mark) => void;
  /** The part of the run that is still to come, and how long it will take. */
  remainder?: { from: number; label: string } | null;
}
