// The list of jobs, kept up to date, with its search, its filters and its order in the URL.
import { useEffect } from "preact/hooks";
import { SelectionBar } from "../../parts/selection-bar";
import { query } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs/jobs";
import { SHARED } from "../../texts/shared";
import { BulkActions, BulkDialog } from "./bulk-actions";
import { Filters } from "./filters";
import { useJobs, type JobsQuery } from "./list";
import type { Found } from "./read";
import { Searched, Table } from "./table";

export function JobsPage() {
  const given = (name: string): string => query.value.get(name) ?? "";
  const filters: JobsQuery = {
    search: given("search"),
    status: given("status"),
    label: given("label"),
    archived: given("archived"),
    sort: given("sort"),
    cursor: query.value.get("cursor"),
  };
  const { page, problem } = useJobs(filters);
  useEffect(() => void (document.title = "Stepline"), []);
  const isFiltered = Boolean(filters.search || filters.status || filters.label || filters.archived);
  return (
    <>
      <header class="page">
        <h1 class="grow">{say(SHARED.jobs)}</h1>
        <a class="button primary" href="/new">
          {say(SHARED.new_job)}
        </a>
      </header>
      <Filters {...filters} counts={page?.counts ?? null} />
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {page && <Unserved page={page} />}
      <BulkDialog archived={filters.archived === "true"} />
      {page === null ? (
        !problem && <p class="note">{say(SHARED.loading)}</p>
      ) : page.data.length ? (
        <Table page={page} filters={filters} />
      ) : isFiltered || page.counts?.archived.count ? (
        <div class="empty">
          <b>{say(isFiltered ? JOBS.no_match : JOBS.all_archived)}</b>
          <Searched page={page} />
          {isFiltered ? <a href="/">{say(JOBS.clear_filters)}</a> : <a href="/?archived=true">{say(JOBS.archived)}</a>}
        </div>
      ) : (
        <NoJobs />
      )}
      {page?.data.length === 0 && (
        <SelectionBar>
          <BulkActions archived={filters.archived === "true"} />
        </SelectionBar>
      )}
    </>
  );
}

/** Names each queue on this page whose jobs wait because no worker can run them. */
function Unserved({ page }: { page: Found }) {
  const queues = new Set(
    page.data.filter((job) => job.waiting?.code === "no_worker").map((job) => String(job.spec.queue)),
  );
  return (
    <>
      {[...queues].sort().map((queue) => (
        <p key={queue} class="unserved" role="status">
          {say(JOBS.unserved, { queue })}{" "}
          <code>{queue === "default" ? "stepline worker" : `STEPLINE_QUEUE=${queue} stepline worker`}</code>
          {" · "}
          <a href="/workers">{say(SHARED.workers)}</a>
        </p>
      ))}
    </>
  );
}

function NoJobs() {
  return (
    <div class="empty">
      <b>{say(JOBS.no_jobs)}</b>
      <span>{say(JOBS.no_jobs_hint)}</span>
      <pre>{`curl -s ${location.origin}/v1/datasets -F file=@examples/alpaca.json
curl -s ${location.origin}/v1/jobs -H 'Content-Type: application/json' \\
  -d '{"model": "Qwen/Qwen2-0.5B-Instruct", "dataset": {"train": "ds_…"}}'`}</pre>
      <a class="button primary" href="/new">
        {say(SHARED.new_job)}
      </a>
    </div>
  );
}
