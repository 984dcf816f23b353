// The form field for the model: one that a worker has, or any other id if the server accepts it.
import { useEffect, useRef, useState } from "preact/hooks";
import { compact, count } from "../../../format";
import { onText } from "../../../parts/controls";
import { NEW } from "../../../texts/new/new";
import { say } from "../../../texts/say";
import type { Attributes, ModelPage } from "../types";

type Model = ModelPage["data"][number];

const OTHER = " ";

interface Props {
  value: string;
  choose: (id: string) => void;
  /** Null until the list has been loaded. */
  models: ModelPage | null;
  attributes: Attributes;
}

export function ModelChooser({ value, choose, models, attributes }: Props) {
  const [isTyping, setTyping] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const listed = models?.data ?? [];
  const isListed = listed.some((one) => one.id === value);
  // The list may be longer than the page that the server sends; any id can then be typed, and the dry run checks it.
  const isCut = models?.has_more ?? false;
  const acceptsOther = isCut || (models?.accepts_other_ids ?? false);
  // While the user types, the text may be empty or equal to a listed id for a moment.
  const isOther = acceptsOther && (isTyping || (!isListed && (value !== "" || listed.length === 0)));
  const onSelect = (to: string): void => {
    setTyping(to === OTHER);
    choose(to === OTHER ? "" : to);
  };
  useEffect(() => {
    if (isTyping) input.current?.focus();
  }, [isTyping]);
  // The control that holds the value has the field's id, because the label, error messages and the focus refer to that id.
  const { id, ...rest } = attributes;
  return (
    <div class="chooser">
      {(listed.length > 0 || !isOther) && (
        <select
          {...(isOther ? { "aria-label": say(NEW.choose_model) } : attributes)}
          value={isOther ? OTHER : value}
          onChange={onText(onSelect)}
        >
          <option value="">{models ? say(NEW.choose_model) : value}</option>
          {value && !isListed && !isOther && models && (
            <option value={value}>{say(NEW.model_missing, { id: value })}</option>
          )}
          {listed.map((one) => (
            <option key={one.id} value={one.id}>
              {summaryOf(one)}
            </option>
          ))}
          {acceptsOther && (
            <option value={OTHER}>{say(models?.accepts_other_ids ? NEW.other_model : NEW.unlisted_model)}</option>
          )}
        </select>
      )}
      {isCut && <small class="note">{say(NEW.models_cut, { n: count(listed.length) })}</small>}
      {isOther && (
        <input
          ref={input}
          id={id}
          {...rest}
          onFocus={() => setTyping(true)}
          onBlur={() => setTyping(false)}
          autocomplete="off"
          spellcheck={false}
          required
          value={value}
          placeholder="owner/name"
          onInput={onText(choose)}
        />
      )}
    </div>
  );
}

function summaryOf(model: Model): string {
  return [
    model.id,
    model.parameters && say(NEW.parameters, { n: compact(model.parameters) }),
    model.max_length && say(NEW.tokens, { n: count(model.max_length) }),
    !model.available && say(NEW.model_offline),
  ]
    .filter(Boolean)
    .join(" · ");
}
