// A job's page: its outcome or failure, figures, charts, report, events, log, configuration, attempts and files.
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { isFinal, type Job, unreachableSince } from "../../api";
import { clock, figure } from "../../format";
import { LiveJob } from "../../live/job";
import { Bell } from "../../parts/bell";
import { Progress, Status, useDrawn, useKeys } from "../../parts/controls";
import { percentOfRows, RowsLine } from "../../parts/rows";
import { language } from "../../preferences";
import { loadOpenapi } from "../../spec";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { sayState } from "../../texts/states";
import { Actions } from "./actions";
import { Attempts } from "./attempts";
import { Configuration } from "./configuration";
import { Notes } from "./edit";
import { Events } from "./events";
import { Failure } from "./result/failure";
import { Health } from "./health";
import { LogPanel, useLog } from "./log";
import { LossChart } from "./charts/loss-chart";
import { Outcome } from "./result/outcome";
import { PlanCard } from "./plan";
import { Report } from "./result/report";
import { SoFar } from "./so-far";
import { Tiles } from "./tiles";

export function JobPage({ id }: { id: string }) {
  const [live, setLive] = useState<LiveJob | null>(null);
  // A layout effect, because a plain effect would send the first requests a frame later.
  useLayoutEffect(() => {
    const made = new LiveJob(id);
    setLive(made);
    return () => made.close();
  }, [id]);
  useKeys({});
  if (!live || live.id !== id) return null;
  if (live.store.missing.value) {
    document.title = "Stepline";
    return (
      <div class="empty" role="alert">
        <b>{say(SHARED.not_found_job, { id })}</b>
        <a href="/">{say(SHARED.back_to_jobs)}</a>
      </div>
    );
  }
  return live.store.job.value ? (
    <JobView live={live} job={live.store.job.value} />
  ) : (
    <p class="note">{say(SHARED.loading)}</p>
  );
}

function JobView({ live, job }: { live: LiveJob; job: Job }) {
  const { store } = live;
  const isStale = unreachableSince.value !== null && !isFinal(job);
  const summary = store.summary.value;
  const lines = useLog(store);
  const isDrawn = useDrawn();
  // Only the configuration needs it, so the requests for the rest of the page need not compete with it.
  useEffect(() => {
    if (isDrawn) void loadOpenapi().catch(() => undefined);
  }, [isDrawn]);
  useEffect(() => {
    document.title = titleOf(job);
    return () => void (document.title = "Stepline");
  }, [job, language.value]);
  return (
    <div class="job" data-source={live.source.value}>
      <header class="page">
        <div class="grow">
          <h1 title={job.name ?? job.id}>{job.name ?? job.id}</h1>
          <p class="note">
            <code>{job.id}</code> · {job.spec.model} · {clock(job.created_at)}{" "}
            {Object.entries(job.labels).map(([key, value]) => (
              <span key={key} class="label">
                {key}:{value}
              </span>
            ))}
          </p>
        </div>
        <Status job={job} />
        {isStale && <small class="note">{say(SHARED.last_known)}</small>}
        <Bell job={job} />
        <Actions live={live} job={job} />
      </header>
      {summary && <Outcome summary={summary} />}
      {job.status === "failed" && job.error && <Failure job={job} attempts={store.attempts.value} lines={lines} />}
      <Notes job={job} />
      {job.waiting && (
        <p class="note waiting" role="status">
          {job.waiting.message}
        </p>
      )}
      <SoFar store={store} job={job} />
      <Health live={live} job={job} />
      {job.started_at !== null && (
        <>
          <Progress job={job} />
          <RowsLine job={job} />
          <Tiles store={store} job={job} />
        </>
      )}
      <LossChart store={store} job={job} />
      {isDrawn && (
        <>
          {summary && <Report id={live.id} summary={summary} />}
          <div class="columns">
            <Events store={store} />
            <LogPanel store={store} lines={lines} />
          </div>
          <div class="columns even">
            <div>
              <PlanCard job={job} />
              <Configuration job={job} />
            </div>
            <Attempts store={store} />
          </div>
        </>
      )}
    </div>
  );
}

function titleOf(job: Job): string {
  const name = job.name ?? job.id;
  const percent = percentOfRows(job) ?? job.progress.percent;
  const loss = job.last_loss === null ? "" : ` · ${figure(job.last_loss, 3)}`;
  if (job.status !== "running") return `${sayState(job.status)}${loss} · ${name}`;
  const phase = job.phase && job.phase !== "training" ? `${sayState(job.phase)} ` : "";
  return `${phase}${percent === null || percent === undefined ? "…" : `${Math.floor(percent)}%`}${loss} · ${name}`;
}
