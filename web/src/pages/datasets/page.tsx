// The uploaded datasets: search, upload, first rows, delete.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, type Dataset, get, getWithRetries, type List, withQuery } from "../../api";
import { bytes, clock, count } from "../../format";
import { AskButton, Doing, useKeys } from "../../parts/controls";
import { useDebounced, usePoll } from "../../parts/poll";
import { PAUSE_MS, SearchBox, SearchForm } from "../../parts/search-box";
import {
  checkedShare,
  Conversation,
  type DatasetDetail,
  UploadButton,
  UploadMessage,
  useUpload,
} from "../../parts/upload";
import { language } from "../../preferences";
import { query, setQuery } from "../../router";
import { isolate } from "../../text";
import { DATASETS } from "../../texts/datasets/datasets";
import { IMPORT } from "../../texts/datasets/import";
import { REVIEW } from "../../texts/datasets/review";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { TOKENS } from "../../texts/datasets/tokens";
import { isForm } from "./forms";
import { HubImport, ImportButton } from "./hub-import";
import { ReviewView } from "./review-view";
import { TokenView } from "./token-view";

const PAGE = 50;
const CHECK_MS = 2000;

export function DatasetsPage() {
  const search = query.value.get("search") ?? "";
  const [found, setFound] = useState<List<Dataset> | null>(null);
  const [changes, setChanges] = useState(0);
  const focus = useRef(() => undefined as void);
  const change = (): void => setChanges((count) => count + 1);
  const upload = useUpload((dataset) => {
    change();
    if (dataset.review?.warnings.length) setQuery({ review: dataset.id });
  }, change);
  const later = useDebounced<{ search: string }>((typed) => setQuery({ search: typed.search ?? null }), PAUSE_MS);
  useEffect(() => void (document.title = `${say(DATASETS.title)} · Stepline`), [language.value]);
  useEffect(() => {
    let current = true;
    getWithRetries<List<Dataset>>(withQuery("/v1/datasets", { search, limit: PAGE })).then(
      (page) => current && setFound(page),
      () => current && setFound({ data: [], has_more: false, cursor: null }),
    );
    return () => {
      current = false;
    };
  }, [search, changes]);
  const replace = (one: Dataset): void =>
    setFound((held) => held && { ...held, data: held.data.map((each) => (each.id === one.id ? one : each)) });
  useKeys({ "/": () => focus.current() });
  const more = async (): Promise<void> => {
    const next = await get<List<Dataset>>(withQuery("/v1/datasets", { search, limit: PAGE, cursor: found?.cursor }));
    setFound((held) => held && { ...next, data: [...held.data, ...next.data] });
  };
  return (
    <>
      <header class="page">
        <div class="grow">
          <h1>{say(DATASETS.title)}</h1>
          <p class="note">{say(DATASETS.intro)}</p>
        </div>
        <div class="row">
          <ImportButton />
          <UploadButton upload={upload} />
        </div>
      </header>
      <UploadMessage message={upload.message} />
      <HubImport use={change} />
      <SearchForm>
        <SearchBox
          label={say(DATASETS.search)}
          placeholder={say(DATASETS.search)}
          value={search}
          change={(text) => later({ search: text })}
          focus={focus}
        />
      </SearchForm>
      {found === null ? (
        <p class="note">{say(SHARED.loading)}</p>
      ) : found.data.length === 0 ? (
        <div class="empty">
          <b>{search ? say(DATASETS.no_match, { search: isolate(search) }) : say(DATASETS.none)}</b>
          {!search && <span>{say(DATASETS.none_hint)}</span>}
        </div>
      ) : (
        <ul class="datasets">
          {found.data.map((one) => (
            <DatasetCard key={one.id} dataset={one} afterDelete={change} replace={replace} />
          ))}
        </ul>
      )}
      {found?.has_more && (
        <button type="button" onClick={() => void more().catch(() => undefined)}>
          {say(DATASETS.more)}
        </button>
      )}
    </>
  );
}

interface CardProps {
  dataset: Dataset;
  afterDelete: () => void;
  /** Called with the dataset when it has been read again. */
  replace: (dataset: Dataset) => void;
}

function DatasetCard({ dataset, afterDelete, replace }: CardProps) {
  const isReady = dataset.status === "ready";
  const [detail, setDetail] = useState<DatasetDetail | null>(null);
  const hasReview = query.value.get("review") === dataset.id;
  const hasTokens = query.value.get("tokens") === dataset.id;
  const name = dataset.filename || dataset.id;
  const forms = Object.keys(dataset.forms).map((form) => (isForm(form) ? say(DATASETS[`form_${form}`]) : form));
  const content: [string, string][] = [
    [say(DATASETS.rows), count(dataset.rows)],
    [say(DATASETS.formats), forms.join(", ")],
  ];
  const from = dataset.source;
  const source: [string, string][] = from
    ? [[say(IMPORT.source), `${from.hub} · ${from.split} · ${from.revision.slice(0, 12)}`]]
    : [];
  const facts: [string, string][] = [
    ...(isReady ? content : []),
    [say(DATASETS.size), bytes(dataset.bytes)],
    [say(DATASETS.uploaded_at), clock(dataset.created_at)],
    ...source,
  ];
  usePoll(
    async (isCurrent) => {
      if (dataset.status !== "validating") return null;
      await new Promise((done) => setTimeout(done, CHECK_MS));
      if (!isCurrent()) return null;
      const now = await get<DatasetDetail>(`/v1/datasets/${dataset.id}`).catch(() => null);
      if (now && isCurrent()) replace(now);
      return 0;
    },
    [dataset.id, dataset.status],
  );
  const remove = async (): Promise<void> => {
    await call("DELETE", `/v1/datasets/${dataset.id}`);
    afterDelete();
  };
  return (
    <li class="card">
      <header>
        <div>
          <h2>{isolate(name)}</h2>
          <small class="id">{dataset.id}</small>
        </div>
        <div class="row">
          {isReady && (
            <button
              type="button"
              aria-expanded={detail !== null}
              onClick={() => {
                if (detail) setDetail(null);
                else void get<DatasetDetail>(`/v1/datasets/${dataset.id}`).then(setDetail, () => undefined);
              }}
            >
              {say(detail ? DATASETS.hide_rows : DATASETS.first_rows)}
            </button>
          )}
          {isReady && (
            <button
              type="button"
              aria-expanded={hasReview}
              onClick={() => setQuery({ review: hasReview ? null : dataset.id })}
            >
              {say(hasReview ? REVIEW.hide : REVIEW.show)}
            </button>
          )}
          {isReady && (
            <button
              type="button"
              aria-expanded={hasTokens}
              onClick={() => setQuery({ tokens: hasTokens ? null : dataset.id, rows: null })}
            >
              {say(hasTokens ? TOKENS.hide : TOKENS.show)}
            </button>
          )}
          {isReady && (
            <a class="button" href={`/new?dataset=${dataset.id}`}>
              {say(DATASETS.train_on)}
            </a>
          )}
          <AskButton
            kind="danger"
            question={
              isReady
                ? say(DATASETS.delete_question, { name: isolate(name), rows: count(dataset.rows) })
                : say(DATASETS.delete_unready, { name: isolate(name) })
            }
            action={remove}
          >
            {say(DATASETS.delete)}
          </AskButton>
        </div>
      </header>
      <dl class="dataset-facts">
        {facts.map(([title, value]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {dataset.status === "validating" && <Checking dataset={dataset} />}
      {dataset.status === "failed" && <Failure dataset={dataset} />}
      {hasReview && isReady && <ReviewView dataset={dataset.id} rows={dataset.rows} />}
      {detail?.preview.map((row, at) => (
        <Conversation key={at} row={row} />
      ))}
      {isReady && hasTokens && <TokenView dataset={dataset.id} rows={dataset.rows} />}
    </li>
  );
}

/** How much of a large file has been checked. */
function Checking({ dataset }: { dataset: Dataset }) {
  const share = checkedShare(dataset);
  const figures = { rows: count(dataset.progress?.rows ?? 0), percent: Math.floor(100 * share) };
  const text = say(DATASETS.checking, figures);
  return <Doing text={text} share={share} />;
}

/** Why a large file was rejected, and all problems that were counted in it. */
function Failure({ dataset }: { dataset: Dataset }) {
  const [problems, setProblems] = useState<string[]>([]);
  useEffect(() => {
    get<DatasetDetail>(`/v1/datasets/${dataset.id}`).then(
      (detail) => setProblems(detail.problems ?? []),
      () => undefined,
    );
  }, [dataset.id, language.value]);
  return (
    <div role="alert">
      <p class="problem">
        <b>{say(DATASETS.failed)}</b> {dataset.failure?.message}
      </p>
      <p class="note">{dataset.failure?.hint}</p>
      {problems.length > 1 && (
        <details>
          <summary>{say(DATASETS.problems, { n: problems.length })}</summary>
          <ul>
            {problems.map((problem, at) => (
              <li key={at}>{problem}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}
