// The form field for a dataset: an uploaded dataset, a file to upload, or a dataset on the Hub.
import { useEffect, useState } from "preact/hooks";
import { type Dataset, get, type List } from "../../../api";
import { count } from "../../../format";
import { onText } from "../../../parts/controls";
import { Conversation, type DatasetDetail, UploadButton, UploadMessage, useUpload } from "../../../parts/upload";
import { isolate } from "../../../text";
import { NEW } from "../../../texts/new/new";
import { say } from "../../../texts/say";
import type { Attributes, Set, Texts } from "../types";

interface Props {
  path: string;
  texts: Texts;
  set: Set;
  attributes: Attributes;
  isRequired: boolean;
}

export function DatasetChooser({ path, texts, set, attributes, isRequired }: Props) {
  const [datasets, setDatasets] = useState<Dataset[]>([]);
  const [fromHub, setFromHub] = useState(Boolean(texts[`${path}.hub`]));
  const [preview, setPreview] = useState<DatasetDetail | null>(null);
  const chosen = texts[path] ?? "";
  const clearHub = Object.fromEntries(["hub", "config", "split", "revision"].map((name) => [`${path}.${name}`, ""]));
  const upload = useUpload((dataset) => {
    setFromHub(false);
    set({ ...clearHub, [path]: dataset.id });
  });
  useEffect(
    () =>
      void get<List<Dataset>>("/v1/datasets?limit=100").then(
        (page) => setDatasets(page.data.filter((one) => one.status === "ready")),
        () => undefined,
      ),
    [upload.message?.share === undefined && upload.message?.text],
  );
  useEffect(() => {
    setPreview(null);
    if (/^ds_/.test(chosen)) get<DatasetDetail>(`/v1/datasets/${chosen}`).then(setPreview, () => undefined);
  }, [chosen]);
  const choose = (value: string): void => {
    upload.forget();
    setFromHub(value === "hub");
    set(value === "hub" ? { [path]: "" } : { ...clearHub, [path]: value });
  };
  const first = preview?.preview[0];
  return (
    <div class="chooser">
      <div class="row">
        <select {...attributes} class="grow" value={fromHub ? "hub" : chosen} onChange={onText(choose)}>
          <option value="">{isRequired ? say(NEW.choose_dataset) : say(NEW.no_eval_dataset)}</option>
          {chosen && !datasets.some((one) => one.id === chosen) && <option value={chosen}>{chosen}</option>}
          {datasets.map((one) => (
            <option key={one.id} value={one.id}>
              {`${isolate(one.filename || one.id)} · ${say(NEW.rows, { n: count(one.rows) })} · ${one.id.slice(0, 11)}`}
            </option>
          ))}
          <option value="hub">{say(NEW.from_hub)}</option>
        </select>
        <UploadButton upload={upload} name={path} />
      </div>
      <UploadMessage message={upload.message} />
      {fromHub && (
        <div class="row">
          {["hub", "config", "split", "revision"].map((name) => (
            <input
              key={name}
              class="grow"
              aria-label={`${path}.${name}`}
              placeholder={name === "hub" ? "owner/name" : name}
              value={texts[`${path}.${name}`] ?? ""}
              onInput={onText((to) => set({ [`${path}.${name}`]: to }))}
            />
          ))}
        </div>
      )}
      {first && (
        <details>
          <summary>{say(NEW.first_row)}</summary>
          <Conversation row={first} />
        </details>
      )}
    </div>
  );
}
