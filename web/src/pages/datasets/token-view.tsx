// Rows of a dataset as a model reads them, token by token. The tokens that the model learns to predict are marked.
import { useEffect, useState } from "preact/hooks";
import { type ApiError, call, type components, getWithRetries, withQuery } from "../../api";
import { count } from "../../format";
import { onText } from "../../parts/controls";
import { TokenCounts } from "../../parts/token-counts";
import { language } from "../../preferences";
import { query, setQuery } from "../../router";
import { isolate } from "../../text";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { TOKENS } from "../../texts/datasets/tokens";

type Preview = components["schemas"]["PreviewResult"];
type Row = Preview["rows"][number];
type Errand = components["schemas"]["ErrandView"];
type ModelPage = components["schemas"]["ModelPage"];
type Model = ModelPage["data"][number];
type DatasetDetail = components["schemas"]["DatasetDetail"];

const STEP = 3;
const WAIT_SECONDS = 10;
const RETRY_MS = 500;
const DEFAULT_LENGTH = 1024;

/** The rows, with a choice of the model, the rows and the length. The choices are in the URL. */
export function TokenView({ dataset, rows: total }: { dataset: string; rows: number }) {
  const [known, setKnown] = useState<Model[] | null>(null);
  const [counted, setCounted] = useState<DatasetDetail["token_counts"] | null>(null);
  const models = known?.map((one) => one.id) ?? null;
  const model = query.value.get("model") ?? models?.[0] ?? "";
  const rows = query.value.get("rows") ?? firstRows(0, total);
  const length = query.value.get("max_length") ?? "1024";
  const [shown, setShown] = useState<Preview | string | null>(null);

  useEffect(() => {
    void getWithRetries<ModelPage>("/v1/models").then(
      (page) => setKnown(page.data.filter((one) => one.available)),
      () => setKnown([]),
    );
  }, []);
  const readCounted = (): void =>
    void getWithRetries<DatasetDetail>(`/v1/datasets/${dataset}`).then(
      (detail) => setCounted(detail.token_counts),
      () => undefined,
    );
  useEffect(readCounted, [dataset]);
  useEffect(() => {
    if (!model) return;
    let current = true;
    setShown(null);
    load(withQuery(`/v1/datasets/${dataset}/preview`, { model, rows, max_length: length }), () => current).then(
      (preview) => current && setShown(preview),
      (error: ApiError) => current && setShown([error.message, error.hint].filter(Boolean).join(" ")),
    );
    return () => {
      current = false;
    };
  }, [dataset, model, rows, length, language.value]);

  if (models === null) return <p class="note">{say(SHARED.loading)}</p>;
  if (!model) return <p class="note">{say(TOKENS.no_models)}</p>;
  const first = Number.parseInt(rows, 10) || 0;
  const move = (to: number): void => setQuery({ rows: firstRows(to, total) });
  return (
    <section class="token-view" aria-label={say(TOKENS.title)}>
      <div class="row">
        <label>
          {say(TOKENS.model)}{" "}
          <select value={model} onChange={onText((name) => setQuery({ model: name }))}>
            {[...new Set([...models, model])].map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <Field label={say(TOKENS.rows)} value={rows} set={(text) => setQuery({ rows: text.replace(/\s/g, "") })} />
        <button
          type="button"
          class="icon"
          aria-label={say(TOKENS.previous)}
          disabled={first <= 0}
          onClick={() => move(first - STEP)}
        >
          ←
        </button>
        <button
          type="button"
          class="icon"
          aria-label={say(TOKENS.next)}
          disabled={first + STEP >= total}
          onClick={() => move(first + STEP)}
        >
          →
        </button>
        <Field label="max_length" value={length} set={(text) => setQuery({ max_length: text })} />
      </div>
      {counted && (
        <TokenCounts
          dataset={dataset}
          model={model}
          length={Number.parseInt(length, 10) || DEFAULT_LENGTH}
          isCounted={isCounted(
            counted,
            known?.find((one) => one.id === model),
            model,
          )}
          onCounted={readCounted}
        />
      )}
      {shown === null ? (
        <p class="note" role="status">
          {say(TOKENS.rendering)}
        </p>
      ) : typeof shown === "string" ? (
        <p class="problem" role="alert">
          {shown}
        </p>
      ) : (
        <>
          <p class="note">
            <span class="trained">{say(TOKENS.marked)}</span> {say(TOKENS.legend)}
          </p>
          {shown.rows.map((row) => (
            <TokenRow key={row.row} row={row} />
          ))}
        </>
      )}
    </section>
  );
}

/** Models with the same tokenizer share counts. */
function isCounted(counted: DatasetDetail["token_counts"], model: Model | undefined, id: string): boolean {
  return counted.some((one) => (model?.tokenizer ? one.tokenizer === model.tokenizer : one.model === id));
}

function Field({ label, value, set }: { label: string; value: string; set: (text: string) => void }) {
  // Keep the typed text across renders, which would otherwise restore the old value.
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  return (
    <label>
      {label} <input value={draft} size={8} onInput={onText(setDraft)} onChange={onText(set)} />
    </label>
  );
}

function TokenRow({ row }: { row: Row }) {
  const cut = row.total_tokens - row.tokens.length;
  return (
    <article>
      <h3>
        {say(TOKENS.row, { row: count(row.row) })}
        <small>
          {row.error === null &&
            say(TOKENS.tokens, { tokens: count(row.total_tokens), trained: count(row.trained_tokens) })}
        </small>
      </h3>
      {row.error !== null && <p class="problem">{isolate(row.error)}</p>}
      {row.dropped && <p class="problem">{say(TOKENS.dropped)}</p>}
      {row.tokens.length > 0 && (
        <p class="tokens" dir="auto">
          {row.tokens.map((token, at) =>
            token.joined ? null : (
              <span key={at} class={token.trained ? "trained" : undefined} title={ids(row, at)}>
                {token.text.replaceAll("\n", "↵\n")}
              </span>
            ),
          )}
          {row.truncated && <b class="beyond">{say(TOKENS.cut, { n: count(cut) })}</b>}
        </p>
      )}
    </article>
  );
}

/** Return the ids of a token and of those that continue its character. */
function ids(row: Row, at: number): string {
  let end = at + 1;
  while (row.tokens[end]?.joined) end++;
  return row.tokens
    .slice(at, end)
    .map((token) => token.id)
    .join(" + ");
}

function firstRows(from: number, total: number): string {
  const first = Math.max(0, from);
  return Array.from({ length: Math.max(1, Math.min(STEP, total - first)) }, (_, at) => first + at).join(",");
}

/** Repeat the request until the preview is ready. */
async function load(path: string, isCurrent: () => boolean): Promise<Preview> {
  for (;;) {
    const found = await call<Preview | Errand>("GET", path, { headers: { Prefer: `wait=${WAIT_SECONDS}` } });
    if ("rows" in found || !isCurrent()) return found as Preview;
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}
