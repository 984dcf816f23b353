// The filters of the job list: text, label, status and archive. They are stored in the URL, which is updated after a pause in typing.
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count } from "../../format";
import { onText, useKeys } from "../../parts/controls";
import { useDebounced } from "../../parts/poll";
import { setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs";
import { SHARED } from "../../texts/shared";
import { sayState } from "../../texts/states";
import type { JobCounts } from "./read";

const STATUSES = ["running", "queued", "paused", "succeeded", "failed", "cancelled"] as const;
const PAUSE_MS = 250;

interface Chosen {
  search: string;
  status: string;
  label: string;
}

export function Filters(props: Chosen & { archived: string; counts: JobCounts | null }) {
  const { search, status, label, archived, counts } = props;
  const [searchBox, labelBox] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  const later = useDebounced<Chosen>((typed) => setQuery({ ...typed, cursor: null }), PAUSE_MS);
  useFieldValue(searchBox, search);
  useFieldValue(labelBox, label);
  useKeys({ "/": () => searchBox.current?.focus() });
  const isMalformed = label.startsWith(":");
  const chosen = status ? status.split(",") : [];
  const toggle = (one: string): void => {
    const left = chosen.includes(one) ? chosen.filter((other) => other !== one) : [...chosen, one];
    setQuery({ status: left.join(","), cursor: null });
  };
  const isArchive = archived === "true";
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <input
        ref={searchBox}
        type="search"
        aria-label={say(JOBS.search)}
        placeholder={say(JOBS.search_jobs)}
        defaultValue={search}
        onInput={onText((text) => later({ search: text }))}
      />
      <input
        ref={labelBox}
        type="search"
        class="short"
        aria-label={say(JOBS.label)}
        aria-invalid={isMalformed || undefined}
        title={say(JOBS.label_hint)}
        placeholder={`${say(JOBS.label)} ${say(SHARED.label_example)}`}
        defaultValue={label}
        onInput={onText((text) => later({ label: text.trim() }))}
      />
      <div class="chips" role="group" aria-label={say(SHARED.status)}>
        {STATUSES.map((one) => (
          <button
            key={one}
            type="button"
            class={`chip ${one}`}
            aria-pressed={chosen.includes(one)}
            onClick={() => toggle(one)}
          >
            {sayState(one)} <Amount of={counts?.statuses[one]} />
          </button>
        ))}
        <button
          type="button"
          class="chip"
          aria-pressed={isArchive}
          onClick={() => setQuery({ archived: isArchive ? null : "true", cursor: null })}
        >
          {say(JOBS.archived)} <Amount of={counts?.archived} />
        </button>
      </div>
    </form>
  );
}

/** A count, with a plus sign if there may be more. */
function Amount({ of }: { of: JobCounts["archived"] | undefined }) {
  return of ? <small>{`${count(of.count)}${of.is_exact ? "" : "+"}`}</small> : null;
}

/** Update a field when the URL changes, unless the field has the focus. */
function useFieldValue(field: RefObject<HTMLInputElement | null>, value: string): void {
  useEffect(() => {
    if (field.current && document.activeElement !== field.current) field.current.value = value;
  }, [value]);
}
