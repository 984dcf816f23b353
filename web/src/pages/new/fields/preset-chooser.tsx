// The form field for the preset. Its values become the placeholders of the other fields.
import { onText } from "../../../parts/controls";
import { pick, type Tree } from "../../../spec";
import { NEW } from "../../../texts/new/new";
import { say } from "../../../texts/say";
import { findPreset, presets } from "../presets";
import type { Attributes, Set, Texts } from "../types";

interface Props {
  texts: Texts;
  set: Set;
  attributes: Attributes;
}

export function PresetChooser({ texts, set, attributes }: Props) {
  const value = texts.preset ?? "";
  const chosen = findPreset(value);
  const choose = (name: string): void => {
    const model = pick((findPreset(name)?.settings ?? {}) as Tree, "model") as string | undefined;
    // A model that another preset filled in changes with the preset; a model that the user chose stays.
    const earlier = pick((chosen?.settings ?? {}) as Tree, "model");
    const isOwn = Boolean(texts.model) && texts.model !== earlier;
    set({ preset: name, ...(isOwn ? {} : { model: model ?? "" }) });
  };
  return (
    <div class="chooser">
      <select {...attributes} value={value} onChange={onText(choose)}>
        <option value="">{say(NEW.no_preset)}</option>
        {value && !chosen && <option value={value}>{value}</option>}
        {presets.value.map((one) => (
          <option key={one.name} value={one.name}>
            {one.title}
          </option>
        ))}
      </select>
      {chosen && <p class="note">{chosen.description}</p>}
    </div>
  );
}
