// The list of jobs, newest first and kept up to date, with its search and filters in the URL.
import { useEffect } from "preact/hooks";
import { query } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs";
import { SHARED } from "../../texts/shared";
import { Filters } from "./filters";
import { useJobs, type JobsQuery } from "./list";
import { Searched, Table } from "./table";

export function JobsPage() {
  const filters: JobsQuery = {
    search: query.value.get("search") ?? "",
    status: query.value.get("status") ?? "",
    label: query.value.get("label") ?? "",
    cursor: query.value.get("cursor"),
  };
  const { page, problem } = useJobs(filters);
  useEffect(() => void (document.title = "Stepline"), []);
  const isFiltered = Boolean(filters.search || filters.status || filters.label);
  return (
    <>
      <header class="page">
        <h1 class="grow">{say(SHARED.jobs)}</h1>
        <a class="button primary" href="/new">
          {say(SHARED.new_job)}
        </a>
      </header>
      <Filters {...filters} />
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {page === null ? (
        !problem && <p class="note">{say(SHARED.loading)}</p>
      ) : page.data.length ? (
        <Table page={page} cursor={filters.cursor} />
      ) : isFiltered ? (
        <div class="empty">
          <b>{say(JOBS.no_match)}</b>
          <Searched page={page} />
          <a href="/">{say(JOBS.clear_filters)}</a>
        </div>
      ) : (
        <NoJobs />
      )}
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
