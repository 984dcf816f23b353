// The filters of the job list: text, label and status. They are stored in the URL, which is updated after a pause in typing.
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { onText, useKeys } from "../../parts/controls";
import { useDebounced } from "../../parts/poll";
import { setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs";
import { SHARED } from "../../texts/shared";
import { sayState } from "../../texts/states";

const STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const PAUSE_MS = 250;

interface Chosen {
  search: string;
  status: string;
  label: string;
}

const isLabel = (text: string): boolean => /.:/.test(text);

export function Filters({ search, status, label }: Chosen) {
  const [searchBox, labelBox] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  const [isMalformed, setMalformed] = useState(false);
  const later = useDebounced<Chosen>((typed) => {
    if (typed.label === undefined) return setQuery({ ...typed, cursor: null });
    const fits = typed.label === "" || isLabel(typed.label);
    setMalformed(!fits);
    setQuery({ ...typed, label: fits ? typed.label : null, cursor: null });
  }, PAUSE_MS);
  useEffect(() => {
    if (label) setMalformed(false);
  }, [label]);
  useFieldValue(searchBox, search);
  useFieldValue(labelBox, isMalformed ? null : label);
  useKeys({ "/": () => searchBox.current?.focus() });
  const chosen = status ? status.split(",") : [];
  const toggle = (one: string): void => {
    const left = chosen.includes(one) ? chosen.filter((other) => other !== one) : [...chosen, one];
    setQuery({ status: left.join(","), cursor: null });
  };
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
        title={isMalformed ? say(SHARED.label_malformed) : undefined}
        placeholder={`${say(JOBS.label)} ${say(SHARED.label_example)}`}
        defaultValue={label}
        onInput={onText((text) => later({ label: text }))}
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
            {sayState(one)}
          </button>
        ))}
      </div>
    </form>
  );
}

/** Update a field when the URL changes, unless the field has the focus. A `value` of null leaves the field unchanged. */
function useFieldValue(field: RefObject<HTMLInputElement | null>, value: string | null): void {
  useEffect(() => {
    if (value !== null && field.current && document.activeElement !== field.current) field.current.value = value;
  }, [value]);
}
