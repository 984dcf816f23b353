// The form field for the training data: one dataset, or several with weights.
import { useRef, useState } from "preact/hooks";
import { onText } from "../../../parts/controls";
import { NEW } from "../../../texts/new/new";
import { say } from "../../../texts/say";
import { MOST_DATASETS, partsOf, pathOf, withoutPart, withPart } from "../parts";
import type { Attributes, Set, Texts } from "../types";
import { DatasetChooser } from "./dataset-chooser";

interface Props {
  texts: Texts;
  set: Set;
  attributes: Attributes;
}

export function Mixture({ texts, set, attributes }: Props) {
  const count = partsOf(texts);
  const [removals, setRemovals] = useState(0);
  const add = useRef<HTMLButtonElement>(null);
  const remove = (part: number): void => {
    set(withoutPart(texts, part));
    setRemovals(removals + 1);
    add.current?.focus();
  };
  const isMixed = count > 1;
  return (
    <div class="mixture">
      {Array.from({ length: count }, (_, at) => {
        const path = pathOf(at);
        const name = say(NEW.dataset_of, { n: at + 1 });
        const own = at === 0 ? attributes : { ...attributes, id: `${attributes.id}-${at}`, "aria-label": name };
        return (
          // After a removal, the choosers are created anew, because each one remembers whether it shows a dataset on the Hub.
          <div key={`${removals} ${at}`} role={isMixed ? "group" : undefined} aria-label={isMixed ? name : undefined}>
            <DatasetChooser path={path} texts={texts} set={set} attributes={own} isRequired />
            {isMixed && (
              <div class="row">
                <label>
                  {say(NEW.weight)}{" "}
                  <input
                    class="weight"
                    inputMode="decimal"
                    autocomplete="off"
                    placeholder="1"
                    aria-label={`${name}: ${say(NEW.weight)}`}
                    value={texts[`${path}.weight`] ?? ""}
                    onInput={onText((to) => set({ [`${path}.weight`]: to }))}
                  />
                </label>
                <button type="button" aria-label={say(NEW.remove_dataset, { n: at + 1 })} onClick={() => remove(at)}>
                  {say(NEW.remove)}
                </button>
              </div>
            )}
          </div>
        );
      })}
      <div class="row">
        <button ref={add} type="button" disabled={count >= MOST_DATASETS} onClick={() => set(withPart(texts))}>
          {say(NEW.add_dataset)}
        </button>
        {isMixed && <small class="note">{say(NEW.weight_help)}</small>}
      </div>
    </div>
  );
}
