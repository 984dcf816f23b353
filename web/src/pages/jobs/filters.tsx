// The filters of the job list: text, label, status and archive. They are stored in the URL, which is updated after a pause in typing.
import { useRef } from "preact/hooks";
import { count } from "../../format";
import { useKeys } from "../../parts/controls";
import { useDebounced } from "../../parts/poll";
import { PAUSE_MS, SearchBox, SearchForm } from "../../parts/search-box";
import { setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs/jobs";
import { SHARED } from "../../texts/shared";
import { sayState } from "../../texts/states";
import type { JobCounts } from "./read";

const STATUSES = ["running", "queued", "paused", "succeeded", "failed", "cancelled"] as const;

interface Chosen {
  search: string;
  status: string;
  label: string;
}

export function Filters(props: Chosen & { archived: string; counts: JobCounts | null }) {
  const { search, status, label, archived, counts } = props;
  const focus = useRef(() => undefined as void);
  const later = useDebounced<Chosen>((typed) => setQuery({ ...typed, cursor: null }), PAUSE_MS);
  useKeys({ "/": () => focus.current() });
  const chosen = status ? status.split(",") : [];
  const toggle = (one: string): void => {
    const left = chosen.includes(one) ? chosen.filter((other) => other !== one) : [...chosen, one];
    setQuery({ status: left.join(","), cursor: null });
  };
  const isArchive = archived === "true";
  return (
    <SearchForm>
      <SearchBox
        label={say(JOBS.search)}
        placeholder={say(JOBS.search_jobs)}
        value={search}
        change={(text) => later({ search: text })}
        focus={focus}
      />
      <SearchBox
        class="short"
        label={say(JOBS.label)}
        isInvalid={label.startsWith(":")}
        title={say(JOBS.label_hint)}
        placeholder={`${say(JOBS.label)} ${say(SHARED.label_example)}`}
        value={label}
        change={(text) => later({ label: text.trim().replace(/^([^:：]*)：/, "$1:") })}
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
    </SearchForm>
  );
}

/** A count, with a plus sign if there may be more. */
function Amount({ of }: { of: JobCounts["archived"] | undefined }) {
  return of ? <small>{`${count(of.count)}${of.is_exact ? "" : "+"}`}</small> : null;
}
