// A bar at the lower edge of the window while jobs are selected: how many, a link that compares them, and a button that clears the selection.
import type { ComponentChildren } from "preact";
import { count } from "../format";
import { COMPARE } from "../texts/compare";
import { say } from "../texts/say";
import { MOST_COMPARED, select, selectedIds } from "./selection";

/** `children` are further actions on the selected jobs. */
export function SelectionBar({ children }: { children?: ComponentChildren }) {
  const ids = selectedIds();
  if (ids.length === 0) return null;
  const canCompare = ids.length >= 2 && ids.length <= MOST_COMPARED;
  return (
    <aside class="selection" aria-label={say(COMPARE.selection)}>
      <b role="status">{say(COMPARE.selected, { n: count(ids.length) })}</b>
      {!canCompare && (
        <span class="note">
          {say(ids.length < 2 ? COMPARE.select_more : COMPARE.select_fewer, { most: MOST_COMPARED })}
        </span>
      )}
      <span class="grow" />
      {children}
      <button type="button" onClick={() => select([])}>
        {say(COMPARE.clear)}
      </button>
      {canCompare && (
        <a class="button primary" href={`/compare?ids=${ids.join(",")}`}>
          {say(COMPARE.compare_selected, { n: ids.length })}
        </a>
      )}
    </aside>
  );
}
