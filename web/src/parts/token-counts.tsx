// How many tokens a dataset's rows have with a model's own tokenizer, and what a job truncates. A worker counts them on request.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type ApiError, call, type components, get, getWithRetries, withQuery } from "../api";
import { count } from "../format";
import { language } from "../preferences";
import { isolate } from "../text";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";
import { TOKEN_COUNTS } from "../texts/datasets/token-counts";
import { Doing } from "./controls";
import { Facts } from "./facts";
import { Histogram } from "./histogram";

type Counts = components["schemas"]["DatasetTokensView"];
type Errand = components["schemas"]["ErrandView"];

const POLL_MS = 500;

interface Props {
  dataset: string;
  model: string;
  /** `training.max_length` */
  length: number;
  /** Whether the server has counts for this dataset and model. */
  isCounted: boolean;
  /** Called when a worker has counted. */
  onCounted?: () => void;
}

export function TokenCounts({ dataset, model, length, isCounted, onCounted }: Props) {
  const [counts, setCounts] = useState<Counts | null>(null);
  const [errand, setErrand] = useState<Errand | null>(null);
  const [problem, setProblem] = useState("");
  const path = `/v1/datasets/${dataset}/tokens`;
  const explain = (error: ApiError): void => setProblem([error.message, error.hint].filter(Boolean).join(" "));

  useEffect(() => {
    setCounts(null);
    setProblem("");
    if (!isCounted) return;
    let current = true;
    getWithRetries<Counts>(withQuery(path, { model, max_length: length })).then(
      (found) => current && setCounts(found),
      (error: ApiError) => current && explain(error),
    );
    return () => {
      current = false;
    };
  }, [dataset, model, length, isCounted, language.value]);

  const isOpen = errand !== null && (errand.status === "queued" || errand.status === "running");
  useEffect(() => {
    if (!isOpen) return;
    const timer = setTimeout(
      () => void get<Errand>(`/v1/errands/${errand.id}`).then(setErrand, () => setErrand({ ...errand })),
      POLL_MS,
    );
    return () => clearTimeout(timer);
  }, [errand]);
  useEffect(() => {
    if (errand?.status === "succeeded") onCounted?.();
    if (errand?.error) setProblem([errand.error.message, errand.error.detail].filter(Boolean).join(" "));
  }, [errand?.status]);
  useEffect(() => setErrand(null), [dataset, model]);

  const start = (): void => {
    setProblem("");
    call<Counts | Errand>("POST", path, { body: { model } }).then((answer) => {
      if (answer.object === "errand") setErrand(answer);
      else onCounted?.();
    }, explain);
  };
  return (
    <section class="token-counts" aria-label={say(TOKEN_COUNTS.title)}>
      {counts ? (
        <Figures counts={counts} />
      ) : isOpen ? (
        <Progress errand={errand} />
      ) : isCounted && !problem ? (
        <p class="note">{say(SHARED.loading)}</p>
      ) : (
        <p class="note">
          <button type="button" onClick={start}>
            {say(TOKEN_COUNTS.count)}
          </button>{" "}
          {say(TOKEN_COUNTS.count_hint)}
        </p>
      )}
      {problem && (
        <p class="problem" role="alert">
          {isolate(problem)}
        </p>
      )}
    </section>
  );
}

function Progress({ errand }: { errand: Errand }) {
  const { progress } = errand;
  const share = progress?.bytes_total ? progress.bytes_done / progress.bytes_total : 0;
  const text = progress
    ? say(TOKEN_COUNTS.counting, { percent: Math.floor(100 * share) })
    : say(errand.status === "queued" ? TOKEN_COUNTS.waiting : TOKEN_COUNTS.counting, { percent: 0 });
  return <Doing text={text} share={share} />;
}

function Figures({ counts }: { counts: Counts }) {
  return (
    <>
      <Facts class="settings facts" rows={facts(counts)} />
      {counts.refused_rows > 0 && (
        <div class="problem">
          {say(TOKEN_COUNTS.refused, { rows: count(counts.refused_rows) })}
          <ul>
            {counts.refused.map(({ row, error }) => (
              <li key={row}>{say(TOKEN_COUNTS.refused_row, { row: count(row), error: isolate(error) })}</li>
            ))}
          </ul>
        </div>
      )}
      {counts.histogram.length > 0 && (
        <Histogram
          title={say(TOKEN_COUNTS.histogram)}
          bins={counts.histogram.map((bin) => ({
            name: say(TOKEN_COUNTS.bin, { from: count(bin.from_tokens), to: count(bin.to_tokens) }),
            rows: bin.rows,
          }))}
        />
      )}
    </>
  );
}

function facts(counts: Counts): [string, ComponentChildren][] {
  const { cut, measured_rows: measured, rows, trained_share: share } = counts;
  const lengths = { p50: counts.p50, p95: counts.p95, p99: counts.p99, longest: counts.longest };
  const isCut = cut.rows_over > 0 || cut.dropped_rows > 0;
  const figures = { over: cut.rows_over, cut: cut.answers_cut, dropped: cut.dropped_rows };
  return [
    [
      say(TOKEN_COUNTS.rows),
      measured < rows ? say(TOKEN_COUNTS.sample_of, { measured: count(measured), rows: count(rows) }) : count(rows),
    ],
    [say(TOKEN_COUNTS.tokens), say(TOKEN_COUNTS.tokens_of, { all: count(counts.tokens), mean: count(counts.mean) })],
    [say(TOKEN_COUNTS.trained), share != null && `${(100 * share).toFixed(0)} %`],
    [say(TOKEN_COUNTS.lengths), say(TOKEN_COUNTS.lengths_of, shown(lengths))],
    [
      say(TOKEN_COUNTS.cut, { length: count(cut.max_length) }),
      isCut ? say(TOKEN_COUNTS.cut_of, shown(figures)) : say(TOKEN_COUNTS.nothing_cut),
    ],
    [say(TOKEN_COUNTS.advised), counts.advised_max_length != null && count(counts.advised_max_length)],
  ];
}

const shown = <Names extends string>(figures: Record<Names, number>): Record<Names, string> =>
  Object.fromEntries(Object.entries<number>(figures).map(([name, value]) => [name, count(value)])) as Record<
    Names,
    string
  >;
