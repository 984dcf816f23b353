// The legend of a chart: the name of each line, its value at the cursor, and a button that hides it.
import type { ComponentChildren } from "preact";
import { CHART } from "../texts/job/chart";
import type { Line } from "./line";
import { say } from "../texts/say";

interface EntryProps {
  name: string;
  color: string;
  opacity?: number | undefined;
  /** The swatch: a line, a dot, or a character. */
  shape?: "dot" | "▲" | "┊" | "◆" | undefined;
  hidden: boolean;
  toggle: () => void;
  /** Replaces the name, for example by a link. */
  title?: ComponentChildren;
  children?: ComponentChildren;
}

/** The entry of a line. */
export function LineEntry({ line, toggle, children }: { line: Line; toggle: () => void; children: ComponentChildren }) {
  return (
    <LegendEntry
      name={line.name}
      color={line.color}
      opacity={line.opacity}
      shape={line.dots ? "dot" : undefined}
      hidden={line.hidden ?? false}
      toggle={toggle}
    >
      {children}
    </LegendEntry>
  );
}

export function LegendEntry({ name, color, opacity, shape, hidden, toggle, title, children }: EntryProps) {
  const isCharacter = shape === "▲" || shape === "┊" || shape === "◆";
  const style = isCharacter ? { color: `var(${color})` } : { background: `var(${color})`, opacity: opacity ?? 1 };
  const swatch = (
    <i class={isCharacter ? "glyph" : shape === "dot" ? "dot" : ""} style={style} aria-hidden="true">
      {isCharacter ? shape : ""}
    </i>
  );
  const label = say(hidden ? CHART.show : CHART.hide, { name });
  return (
    <div class={hidden ? "off" : ""}>
      <dt>
        <button type="button" class="entry" aria-pressed={!hidden} title={label} aria-label={label} onClick={toggle}>
          {swatch}
          {title ? "" : name}
        </button>
        {title}
      </dt>
      <dd>{children}</dd>
    </div>
  );
}
