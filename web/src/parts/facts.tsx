// A list of named values.
import type { ComponentChildren } from "preact";

/** Show the rows; those whose value is missing are omitted. */
export function Facts({ rows, class: name }: { rows: [string, ComponentChildren][]; class?: string }) {
  return (
    <dl class={name}>
      {rows
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
