// The table of jobs: its order, the selection, its keyboard shortcuts, and the buttons for the next jobs.
import { useRef, useState } from "preact/hooks";
import { ApiError, Unreachable } from "../../api";
import { count } from "../../format";
import { rememberJobs } from "../../live/known";
import { onText, useKeys } from "../../parts/controls";
import { select, selectedIds, toggleSelected } from "../../parts/selection";
import { SelectionBar } from "../../parts/selection-bar";
import { go, setQuery } from "../../router";
import { say, type Text } from "../../texts/say";
import { JOBS } from "../../texts/jobs/jobs";
import { SHARED } from "../../texts/shared";
import { rememberNames } from "./bulk";
import { BulkActions } from "./bulk-actions";
import { filtersOf, type JobsQuery } from "./list";
import { type Found, readNames } from "./read";
import { Row } from "./row";

/** Maximum number of jobs that one click selects. */
const MOST_SELECTED = 1000;
const DEFAULT_SORT = "status";
const SORTS: [string, Text][] = [
  ["status", JOBS.sort_status],
  ["-created_at", JOBS.sort_newest],
  ["created_at", JOBS.sort_oldest],
  ["name", JOBS.sort_name],
  ["-name", JOBS.sort_name_descending],
  ["eval_loss", JOBS.sort_eval_loss],
  ["-eval_loss", JOBS.sort_eval_loss_descending],
  ["-ended_at", JOBS.sort_ended],
];

function sortBy(sort: string): void {
  setQuery({ sort: sort === DEFAULT_SORT ? null : sort, cursor: null });
}

/** The number of jobs searched, and a button to search further. */
export function Searched({ page }: { page: Found }) {
  if (!page.searched || !page.has_more) return null;
  return (
    <>
      <span class="note">{say(JOBS.searched, { n: count(page.searched) })}</span>
      <button type="button" onClick={() => setQuery({ cursor: page.cursor }, true)}>
        {say(JOBS.search_older)}
      </button>
    </>
  );
}

export function Table({ page, filters }: { page: Found; filters: JobsQuery }) {
  const jobs = page.data;
  const chosen = new Set(selectedIds());
  const [marked, setMarked] = useState(-1);
  const latest = useRef(-1); // up to date even if a second key is pressed before the next render
  rememberNames(jobs);
  rememberJobs(jobs);
  const move = (by: number): void => {
    const to = Math.min(jobs.length - 1, Math.max(0, latest.current + by));
    latest.current = to;
    setMarked(to);
    document.querySelectorAll("table.jobs tbody tr")[to]?.scrollIntoView({ block: "nearest" });
  };
  const onMarked = (act: (id: string) => void) => () => {
    const job = jobs[latest.current];
    if (job) act(job.id);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: onMarked((id) => go(`/jobs/${id}`)),
    o: onMarked((id) => go(`/jobs/${id}`)),
    x: onMarked(toggleSelected),
  });
  const sort = filters.sort || DEFAULT_SORT;
  const all = jobs.every((job) => chosen.has(job.id));
  const togglePage = (): void => {
    const ids = jobs.map((job) => job.id);
    select(all ? [...chosen].filter((id) => !ids.includes(id)) : [...new Set([...chosen, ...ids])]);
  };
  const selectPage = (
    <input
      type="checkbox"
      checked={all}
      ref={(box) => {
        if (box) box.indeterminate = !all && jobs.some((job) => chosen.has(job.id));
      }}
      onChange={togglePage}
      aria-label={say(JOBS.select_page)}
    />
  );
  const heading = (text: Text, ...orders: string[]) => <Heading text={text} orders={orders} sort={sort} />;
  return (
    <>
      <div class="row list-tools">
        <label class="inline">
          {selectPage}
          {say(JOBS.select_page)}
        </label>
        <span class="grow" />
        <select aria-label={say(JOBS.sort)} value={sort} onChange={onText(sortBy)}>
          {SORTS.map(([value, text]) => (
            <option key={value} value={value}>
              {say(text)}
            </option>
          ))}
        </select>
      </div>
      <table class="jobs">
        <thead>
          <tr>
            <th>
              <label class="pick">{selectPage}</label>
            </th>
            {heading(JOBS.job, "name", "-name")}
            {heading(SHARED.status, "status")}
            <th>{say(SHARED.progress)}</th>
            {heading(JOBS.loss, "eval_loss", "-eval_loss")}
            <th>{say(JOBS.left)}</th>
            {heading(JOBS.created, "-created_at", "created_at")}
          </tr>
        </thead>
        <tbody>
          {jobs.map((one, at) => (
            <Row key={one.id} job={one} marked={at === marked} chosen={chosen.has(one.id)} />
          ))}
        </tbody>
      </table>
      <nav class="row pager" aria-label={say(SHARED.jobs)}>
        {chosen.size === 0 && <span class="note">{say(JOBS.compare_hint)}</span>}
        <span class="grow" />
        {filters.cursor && (
          <button type="button" onClick={() => setQuery({ cursor: null }, true)}>
            {say(JOBS.first_page)}
          </button>
        )}
        {page.has_more && !page.searched && (
          <button type="button" onClick={() => setQuery({ cursor: page.cursor }, true)}>
            {say(JOBS.next_page)}
          </button>
        )}
        <Searched page={page} />
      </nav>
      <SelectionBar>
        {(page.has_more || filters.cursor) && all && <SelectAll filters={filters} />}
        <BulkActions archived={filters.archived === "true"} />
      </SelectionBar>
    </>
  );
}

/** A column's heading; a click sorts by it, and a second click reverses the order. */
function Heading({ text, orders, sort }: { text: Text; orders: string[]; sort: string }) {
  const at = orders.indexOf(sort);
  const next = orders[(at + 1) % orders.length]!;
  const direction = at < 0 || orders.length === 1 ? undefined : sort.startsWith("-") ? "descending" : "ascending";
  return (
    <th aria-sort={direction}>
      <button
        type="button"
        class="sort"
        title={say(SORTS.find(([value]) => value === next)![1])}
        onClick={() => sortBy(next)}
      >
        {say(text)}
        <span aria-hidden="true">{at < 0 || orders.length === 1 ? "" : direction === "ascending" ? " ↑" : " ↓"}</span>
      </button>
    </th>
  );
}

/** A button that selects the matching jobs of all pages. */
function SelectAll({ filters }: { filters: JobsQuery }) {
  const [state, setState] = useState<"idle" | "busy" | "failed">("idle");
  const read = async (): Promise<void> => {
    setState("busy");
    try {
      const { cursor: _, ...chosen } = filtersOf(filters);
      const found = await readNames(chosen, MOST_SELECTED);
      rememberNames(found);
      select(found.map((job) => job.id));
      setState("idle");
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof Unreachable)) throw error;
      setState("failed");
    }
  };
  return (
    <button type="button" disabled={state === "busy"} onClick={() => void read()}>
      {say(state === "busy" ? SHARED.loading : state === "failed" ? JOBS.select_all_failed : JOBS.select_all, {
        most: count(MOST_SELECTED),
      })}
    </button>
  );
}
