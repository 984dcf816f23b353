// One field of the form: its label, its control, its problem and its help.
import { onText } from "../../../parts/controls";
import { language } from "../../../preferences";
import { asText } from "../../../spec";
import { ENGLISH_HELP } from "../../../texts/new/field-help";
import { CHINESE, ENGLISH } from "../../../texts/new/fields";
import { NEW } from "../../../texts/new/new";
import { say } from "../../../texts/say";
import { SHARED } from "../../../texts/shared";
import { type Field, rangeOf } from "../form";
import type { Attributes, ModelPage, Set, Texts } from "../types";
import { DatasetChooser } from "./dataset-chooser";
import { Mixture } from "./mixture";
import { ModelChooser } from "./model-chooser";
import { PresetChooser } from "./preset-chooser";

export const idOf = (path: string): string => `field-${path.replaceAll(".", "-")}`;

export const labelOf = (field: Field): string =>
  (language.value === "zh" ? CHINESE[field.path]?.[0] : ENGLISH[field.path]) ?? field.title;

interface Props {
  field: Field;
  texts: Texts;
  set: Set;
  problem: string;
  models: ModelPage | null;
}

export function FieldRow({ field, texts, set, problem, models }: Props) {
  const { path } = field;
  const id = idOf(path);
  const attributes = { id, "aria-invalid": problem ? true : undefined, "aria-describedby": `${id}-help` };
  const range = rangeOf(field);
  const help = (language.value === "zh" ? CHINESE[path]?.[1] : ENGLISH_HELP[path]) ?? field.help.replaceAll("`", "");
  const isWide = ["preset", "model", "dataset.train", "dataset.eval"].includes(path);
  return (
    <div class={`field${isWide ? " wide" : ""}`}>
      <label for={id}>
        {labelOf(field)}
        <small>{path}</small>
      </label>
      <Control field={field} texts={texts} set={set} models={models} attributes={attributes} />
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <p class="note" id={`${id}-help`}>
        {help}
        {range && ` (${range})`}
      </p>
    </div>
  );
}

interface ControlProps extends Pick<Props, "field" | "texts" | "set" | "models"> {
  attributes: Attributes;
}

function Control({ field, texts, set, models, attributes }: ControlProps) {
  const { path } = field;
  const text = texts[path] ?? "";
  const onInput = onText((to) => set({ [path]: to }));
  const placeholder = placeholderOf(field);
  if (path === "preset") return <PresetChooser texts={texts} set={set} attributes={attributes} />;
  if (path === "model")
    return <ModelChooser value={text} choose={(to) => set({ model: to })} models={models} attributes={attributes} />;
  if (path === "dataset.train") return <Mixture texts={texts} set={set} attributes={attributes} />;
  if (path === "dataset.eval")
    return <DatasetChooser path={path} texts={texts} set={set} attributes={attributes} isRequired={field.isRequired} />;
  if (path === "labels")
    return <textarea {...attributes} value={text} placeholder={say(SHARED.label_example)} onInput={onInput} />;
  if (field.options)
    return (
      <select {...attributes} value={text} onChange={onInput}>
        <option value="">{placeholder}</option>
        {field.options
          .filter((option) => option !== String(field.defaultValue))
          .map((option) => (
            <option key={option}>{option}</option>
          ))}
      </select>
    );
  return (
    <input
      {...attributes}
      inputMode={field.isNumber ? "decimal" : undefined}
      autocomplete="off"
      spellcheck={false}
      value={text}
      placeholder={placeholder}
      required={field.isRequired}
      onInput={onInput}
    />
  );
}

function placeholderOf(field: Field): string {
  if (field.isRequired) return say(NEW.required);
  return field.defaultValue === null || field.defaultValue === undefined ? "" : asText(field.defaultValue);
}
