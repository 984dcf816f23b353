// Importing a dataset from the hub: the form, and the progress of the import. The import is in the URL, so a reload continues to follow it.
import { useState } from "preact/hooks";
import { type ApiError, call, type components, get, getWithRetries } from "../../api";
import { bytes } from "../../format";
import { Doing } from "../../parts/controls";
import { usePoll } from "../../parts/poll";
import type { DatasetDetail } from "../../parts/upload";
import { query, setQuery } from "../../router";
import { DATASETS } from "../../texts/datasets/datasets";
import { IMPORT } from "../../texts/datasets/import";
import { say } from "../../texts/say";
import { FORMS } from "./forms";

type Errand = components["schemas"]["ErrandView"];

const POLL_MS = 1000;
/** The value of `import` in the URL while the form is open and no import is being followed. */
const OPEN = "new";

const sentences = (problem: { message: string; hint?: string | null }): string =>
  [problem.message, problem.hint].filter(Boolean).join(" ");

/** The columns that are typed as `instruction=question, output=answer`; null if an entry is not of this form. */
export function parseColumns(text: string): Record<string, string> | null {
  const entries = text
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean)
    .map((entry) => entry.split(/=(.*)/s, 2).map((part) => part.trim()));
  return entries.every(([name, source]) => name && source) ? Object.fromEntries(entries) : null;
}

export function ImportButton() {
  const isOpen = query.value.get("import") !== null;
  return (
    <button type="button" aria-expanded={isOpen} onClick={() => setQuery({ import: isOpen ? null : OPEN })}>
      {say(IMPORT.open)}
    </button>
  );
}

/** The form and the import that the URL names. `use` is called with the dataset once the server has its rows. */
export function HubImport({ use }: { use: (dataset: DatasetDetail) => void }) {
  const named = query.value.get("import");
  const [fields, setFields] = useState({
    hub: "",
    split: "train",
    revision: "",
    config: "",
    format: "",
    columns: "",
  });
  const [problem, setProblem] = useState<string | null>(null);
  if (named === null) return null;
  const start = async (): Promise<void> => {
    setProblem(null);
    const columns = parseColumns(fields.columns);
    if (columns === null) {
      setProblem(say(IMPORT.columns_invalid));
      return;
    }
    const body = {
      hub: fields.hub.trim(),
      split: fields.split.trim() || "train",
      revision: fields.revision.trim() || null,
      config: fields.config.trim() || null,
      format: fields.format || null,
      columns,
    };
    try {
      const errand = await call<Errand>("POST", "/v1/dataset-imports", { body });
      setQuery({ import: errand.id });
    } catch (error) {
      setProblem(sentences(error as ApiError));
    }
  };
  const field = (name: Exclude<keyof typeof fields, "format">, placeholder: string) => (
    <label>
      {say(IMPORT[name])}
      <input
        value={fields[name]}
        placeholder={placeholder}
        maxLength={name === "columns" ? 2000 : 200}
        spellcheck={false}
        onInput={(event) => setFields({ ...fields, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <section class="card hub-import" aria-label={say(IMPORT.open)}>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void start();
        }}
      >
        {field("hub", "owner/name")}
        {field("split", "train")}
        {field("revision", say(IMPORT.newest))}
        <button class="primary" disabled={fields.hub.trim() === ""}>
          {say(IMPORT.start)}
        </button>
        <details class="grow">
          <summary>{say(IMPORT.more)}</summary>
          <div class="row">
            {field("config", say(IMPORT.default_config))}
            <label>
              {say(DATASETS.formats)}
              <select
                value={fields.format}
                onChange={(event) => setFields({ ...fields, format: event.currentTarget.value })}
              >
                <option value="">{say(IMPORT.detected)}</option>
                {FORMS.map((form) => (
                  <option key={form} value={form}>
                    {say(DATASETS[`form_${form}`])}
                  </option>
                ))}
              </select>
            </label>
            {field("columns", "instruction=question, output=answer")}
          </div>
        </details>
      </form>
      <p class="note">{say(IMPORT.note)}</p>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {named !== OPEN && <Progress key={named} errandId={named} use={use} />}
    </section>
  );
}

function Progress({ errandId, use }: { errandId: string; use: (dataset: DatasetDetail) => void }) {
  const [errand, setErrand] = useState<Errand | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  usePoll(
    async (isCurrent) => {
      try {
        const found = await getWithRetries<Errand>(`/v1/errands/${encodeURIComponent(errandId)}`);
        if (!isCurrent()) return null;
        setErrand(found);
        if (found.status === "succeeded" && found.dataset) {
          const dataset = await get<DatasetDetail>(`/v1/datasets/${found.dataset}`);
          if (isCurrent()) use(dataset);
        }
        return found.finished_at === null ? POLL_MS : null;
      } catch (error) {
        if (isCurrent()) setProblem(sentences(error as ApiError));
        return null;
      }
    },
    [errandId],
  );
  const cancel = (): void =>
    void call<Errand>("POST", `/v1/errands/${encodeURIComponent(errandId)}/cancel`).then(setErrand, () => undefined);
  if (problem) {
    return (
      <p class="problem" role="alert">
        {problem}
      </p>
    );
  }
  if (!errand) return null;
  const name = errand.source?.hub ?? "";
  if (errand.error) {
    return (
      <div role="alert">
        <p class="problem">
          {name}: {errand.error.message}
        </p>
        <p class="note">{errand.error.detail}</p>
        {(errand.error.problems?.length ?? 0) > 1 && (
          <details>
            <summary>{say(DATASETS.problems, { n: errand.error.problems?.length ?? 0 })}</summary>
            <ul>
              {errand.error.problems?.map((one, at) => (
                <li key={at}>{one}</li>
              ))}
            </ul>
          </details>
        )}
      </div>
    );
  }
  if (errand.status === "succeeded") {
    return (
      <p class="note" role="status">
        {say(IMPORT.done, { name, revision: (errand.revision ?? "").slice(0, 12) })}
      </p>
    );
  }
  const { bytes_done: done = 0, bytes_total: total = null } = errand.progress ?? {};
  const text =
    errand.status === "queued"
      ? say(IMPORT.waiting, { name })
      : total === null
        ? say(IMPORT.preparing, { name })
        : say(IMPORT.downloading, { name, done: bytes(done), total: bytes(total) });
  return (
    <>
      <Doing text={text} share={total ? Math.min(1, done / total) : undefined} />
      <button type="button" onClick={cancel}>
        {say(IMPORT.cancel)}
      </button>
    </>
  );
}
