// The form field for a dataset: an uploaded dataset, a file to upload, or a dataset on the Hub.
import { useEffect, useState } from "preact/hooks";
import { type ApiError, call, type components, type Dataset, get, type List } from "../../api";
import type { Texts } from "./form";
import { count } from "../../format";
import { isolate } from "../../text";
import { say } from "../../texts/say";
import { NEW } from "../../texts/new";
import { onText } from "../../parts/controls";

type Detail = components["schemas"]["DatasetDetail"];

interface Props {
  path: string;
  texts: Texts;
  set: (changes: Record<string, string>) => void;
  attributes: { id: string; "aria-invalid": boolean | undefined; "aria-describedby": string };
  isRequired: boolean;
}

export function DatasetChooser({ path, texts, set, attributes, isRequired }: Props) {
  const [datasets, setDatasets] = useState<Dataset[]>([]);
  const [upload, setUpload] = useState<{ text: string; isBad: boolean } | null>(null);
  const [fromHub, setFromHub] = useState(Boolean(texts[`${path}.hub`]));
  const [preview, setPreview] = useState<Detail | null>(null);
  const chosen = texts[path] ?? "";
  useEffect(
    () =>
      void get<List<Dataset>>("/v1/datasets?limit=100").then(
        (page) => setDatasets(page.data),
        () => undefined,
      ),
    [upload],
  );
  useEffect(() => {
    setPreview(null);
    if (/^ds_/.test(chosen)) get<Detail>(`/v1/datasets/${chosen}`).then(setPreview, () => undefined);
  }, [chosen]);
  const clearHub = Object.fromEntries(["hub", "config", "split", "revision"].map((name) => [`${path}.${name}`, ""]));
  const choose = (value: string): void => {
    setUpload(null);
    setFromHub(value === "hub");
    set(value === "hub" ? { [path]: "" } : { ...clearHub, [path]: value });
  };
  const send = async (file: File): Promise<void> => {
    setUpload({ text: say(NEW.uploading_file, { name: file.name }), isBad: false });
    const form = new FormData();
    form.append("file", file);
    try {
      const dataset = await call<Detail>("POST", "/v1/datasets", { form });
      setUpload({ text: say(NEW.uploaded, { name: file.name, rows: count(dataset.rows) }), isBad: false });
      setFromHub(false);
      set({ ...clearHub, [path]: dataset.id });
    } catch (error) {
      setUpload({ text: [(error as Error).message, (error as ApiError).hint].filter(Boolean).join(" "), isBad: true });
    }
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
        <label class="button">
          {say(NEW.upload_dataset)}
          <input
            type="file"
            class="hidden"
            accept=".json,.jsonl,application/json"
            aria-label={`${say(NEW.upload_dataset)} (${path})`}
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              event.currentTarget.value = "";
              if (file) void send(file);
            }}
          />
        </label>
      </div>
      {upload && (
        <p class={upload.isBad ? "problem" : "note"} role="status">
          {upload.text}
        </p>
      )}
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
          <dl class="settings">
            {first.messages.map((turn, at) => (
              <div key={at}>
                <dt>{turn.role}</dt>
                <dd>{turn.content}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </div>
  );
}
