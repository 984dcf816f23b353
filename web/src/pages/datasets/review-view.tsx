// The review of a dataset: warnings with their first occurrences, statistics, and a histogram of the lengths.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type ApiError, type components, getWithRetries } from "../../api";
import { count } from "../../format";
import { Facts } from "../../parts/facts";
import { Histogram } from "../../parts/histogram";
import { language } from "../../preferences";
import { isolate } from "../../text";
import { REVIEW } from "../../texts/datasets/review";
import { say } from "../../texts/say";

type Review = components["schemas"]["DatasetReview"];
type Warning = Review["warnings"][number];
type Statistics = Review["statistics"];

const MOST_SCRIPTS = 4;

export function ReviewView({ dataset, rows }: { dataset: string; rows: number }) {
  const [shown, setShown] = useState<Review | string | null>(null);
  useEffect(() => {
    let current = true;
    getWithRetries<Review>(`/v1/datasets/${dataset}/review`).then(
      (review) => current && setShown(review),
      (error: ApiError) => current && setShown([error.message, error.hint].filter(Boolean).join(" ")),
    );
    return () => {
      current = false;
    };
  }, [dataset, language.value]);
  return (
    <section class="review" aria-label={say(REVIEW.title)}>
      {shown === null ? (
        <p class="note" role="status">
          {say(REVIEW.reviewing)}
        </p>
      ) : typeof shown === "string" ? (
        <p class="problem" role="alert">
          {shown}
        </p>
      ) : (
        <>
          {shown.warnings.length === 0 && <p class="fresh">✓ {say(REVIEW.no_warnings)}</p>}
          <ul>
            {shown.warnings.map((warning) => (
              <WarningItem key={warning.code} warning={warning} />
            ))}
          </ul>
          {shown.reviewed_rows < rows && (
            <p class="note">{say(REVIEW.partial, { rows: count(shown.reviewed_rows) })}</p>
          )}
          {isSampled(shown) && <p class="note">{say(REVIEW.sampled, { rows: count(shown.compared_rows) })}</p>}
          <Facts class="settings" rows={facts(shown.statistics)} />
          <Histogram
            title={say(REVIEW.histogram)}
            bins={shown.statistics.lengths.histogram.map((bin) => ({
              name: say(REVIEW.bin, { from: count(bin.from_characters), to: count(bin.to_characters) }),
              rows: bin.rows,
            }))}
          />
        </>
      )}
    </section>
  );
}

/** Duplicates are not compared again, so comparing fewer rows than were reviewed does not imply a sample. */
function isSampled(review: Review): boolean {
  const duplicates = review.warnings.find((warning) => warning.code === "duplicates")?.rows ?? 0;
  return review.compared_rows < review.reviewed_rows - duplicates;
}

function WarningItem({ warning }: { warning: Warning }) {
  return (
    <li>
      <p class="caution">{warning.message}</p>
      <details>
        <summary>{say(REVIEW.places)}</summary>
        <ul>
          {warning.places.map((place, at) => (
            <li key={at}>{sayPlace(warning.code, place)}</li>
          ))}
        </ul>
      </details>
    </li>
  );
}

function sayPlace(code: Warning["code"], place: Warning["places"][number]): string {
  const same = code === "duplicates" ? REVIEW.same_as : REVIEW.similar_to;
  const parts = [
    place.file && isolate(place.file),
    say(REVIEW.row, { row: count(place.row) }),
    place.line && say(REVIEW.line, { line: count(place.line) }),
    place.field && isolate(place.field),
    place.found && code === "special_tokens" && isolate(place.found),
    place.same_as_row && say(same, { row: count(place.same_as_row) }),
  ];
  return parts.filter(Boolean).join(" · ");
}

function facts(statistics: Statistics): [string, ComponentChildren][] {
  const { lengths, characters } = statistics;
  const [p50, p95, longest] = [lengths.p50, lengths.p95, lengths.longest].map(count) as [string, string, string];
  return [
    [say(REVIEW.turns), count(statistics.turns)],
    [say(REVIEW.characters), count(characters)],
    [say(REVIEW.trained), say(REVIEW.trained_value, { percent: percent(statistics.trained_share) })],
    [say(REVIEW.lengths), say(REVIEW.lengths_value, { p50, p95, longest })],
    [say(REVIEW.roles), shares(statistics.roles, characters, (role) => role)],
    [say(REVIEW.scripts), shares(statistics.scripts, sum(statistics.scripts), sayScript)],
  ];
}

function shares(counts: Record<string, number>, total: number, nameOf: (key: string) => string): string {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .slice(0, MOST_SCRIPTS)
    .map(([key, part]) => say(REVIEW.script_value, { name: nameOf(key), percent: percent(part / total) }))
    .join(" · ");
}

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((one, other) => one + other, 0);

const percent = (share: number): string => (100 * share).toFixed(share > 0 && share < 0.01 ? 1 : 0);

function sayScript(script: string): string {
  const key = `script_${script}`;
  return key in REVIEW ? say(REVIEW[key as "script_latin"]) : script;
}
