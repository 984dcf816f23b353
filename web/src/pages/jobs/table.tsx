// The table of jobs: its rows, the selection for comparison, its keyboard shortcuts, and the buttons for older jobs.
import { useRef, useState } from "preact/hooks";
import type { Job } from "../../api";
import { clock, count, duration, figure, NONE, shortId } from "../../format";
import { Progress, Status, useKeys } from "../../parts/controls";
import { phaseLeft, shortRows } from "../../parts/rows";
import { selectedIds, toggleSelected } from "../../parts/selection";
import { SelectionBar } from "../../parts/selection-bar";
import { go, setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs";
import { SHARED } from "../../texts/shared";
import { LossTrend } from "./loss-trend";
import type { Found } from "./read";

/** The number of jobs searched, and a button to search older ones. */
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

export function Table({ page, cursor }: { page: Found; cursor: string | null }) {
  const jobs = page.data;
  const chosen = selectedIds();
  const [marked, setMarked] = useState(-1);
  const latest = useRef(-1); // up to date even if a second key is pressed before the next render
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
  return (
    <>
      <table class="jobs">
        <thead>
          <tr>
            <th>
              <span class="hidden">{say(SHARED.compare)}</span>
            </th>
            <th>{say(JOBS.job)}</th>
            <th>{say(SHARED.status)}</th>
            <th>{say(SHARED.progress)}</th>
            <th>{say(JOBS.loss)}</th>
            <th>{say(JOBS.left)}</th>
            <th>{say(JOBS.created)}</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((one, at) => (
            <Row
              key={one.id}
              job={one}
              marked={at === marked}
              chosen={chosen.includes(one.id)}
              toggle={() => toggleSelected(one.id)}
            />
          ))}
        </tbody>
      </table>
      <nav class="row pager" aria-label={say(SHARED.jobs)}>
        {chosen.length === 0 && <span class="note">{say(JOBS.compare_hint)}</span>}
        <span class="grow" />
        {cursor && (
          <button type="button" onClick={() => setQuery({ cursor: null }, true)}>
            {say(JOBS.newest)}
          </button>
        )}
        {page.has_more && !page.searched && (
          <button type="button" onClick={() => setQuery({ cursor: page.cursor }, true)}>
            {say(JOBS.older)}
          </button>
        )}
        <Searched page={page} />
      </nav>
      <SelectionBar />
    </>
  );
}

function Row({ job, marked, chosen, toggle }: { job: Job; marked: boolean; chosen: boolean; toggle: () => void }) {
  const { step, total_steps } = job.progress;
  const name = job.name ?? shortId(job.id);
  return (
    <tr class={marked ? "marked" : ""} aria-current={marked ? "true" : undefined}>
      <td>
        <input type="checkbox" checked={chosen} onChange={toggle} aria-label={say(JOBS.choose_to_compare, { name })} />
      </td>
      <td class="name">
        <a href={`/jobs/${job.id}`}>{name}</a>
        <small>
          {job.spec.model} · {datasetName(job)}{" "}
          {Object.entries(job.labels).map(([key, value]) => (
            <span key={key} class="label">
              {key}:{value}
            </span>
          ))}
        </small>
      </td>
      <td>
        <Status job={job} />
        {(job.error ?? job.waiting) && <small class="cut">{(job.error ?? job.waiting)!.message}</small>}
      </td>
      <td class="amount">
        <Progress job={job} />
        <small>{shortRows(job) ?? `${count(step)}${total_steps ? ` / ${count(total_steps)}` : ""}`}</small>
      </td>
      <td class="course">
        <LossTrend job={job} />
        <b>{figure(job.last_loss)}</b>
      </td>
      <td>
        {job.status === "running" ? (
          job.eta_seconds === null && phaseLeft(job) ? (
            <small>{phaseLeft(job)}</small>
          ) : (
            duration(job.eta_seconds)
          )
        ) : job.started_at && job.ended_at ? (
          <small>{duration((Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000)}</small>
        ) : (
          NONE
        )}
      </td>
      <td>
        <small>{clock(job.created_at)}</small>
      </td>
    </tr>
  );
}

function datasetName(job: Job): string {
  const train = job.spec.dataset.train;
  return typeof train === "string" ? shortId(train) : train.hub;
}
