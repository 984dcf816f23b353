// One job: what it is doing, its curve, what happened, its log, its configuration and, at the end, its report.
import { useEffect, useState } from "preact/hooks";
import { call, getText, isFinal, type Job, type LogLine } from "../api";
import type { Curve, Series } from "../curve";
import { bytes, clock, count, duration, figure, NONE, shortStep } from "../format";
import { LiveJob } from "../live/job";
import type { JobStore } from "../live/store";
import { language } from "../preferences";
import { AskButton, Card, CopyButton, Progress, Status, useClock, useKeys } from "../parts/controls";
import { Configuration } from "../parts/configuration";
import { Boxed } from "../parts/boxed";
import { LogPanel, useLog } from "../parts/log";
import { percentOfRows, phaseLeft, RowsLine } from "../parts/rows";
import { LossChart } from "../parts/loss-chart";
import { go } from "../router";
import { asCurl, defaults, loadOpenapi, openapi, shortest, type Tree } from "../spec";
import { say, sayName } from "../words";

export function JobPage({ id }: { id: string }) {
  const [live, setLive] = useState<LiveJob | null>(null);
  useEffect(() => {
    const made = new LiveJob(id);
    setLive(made);
    return () => made.close();
  }, [id]);
  useEffect(() => void loadOpenapi().catch(() => undefined), []);
  useKeys({});
  if (!live || live.id !== id) return null;
  if (live.store.missing.value) {
    document.title = "Stepline";
    return (
      <div class="empty">
        <b>{say("not_found_job", { id })}</b>
        <a href="/">{say("back_to_jobs")}</a>
      </div>
    );
  }
  return live.store.job.value ? <Shown live={live} job={live.store.job.value} /> : <p class="note">{say("loading")}</p>;
}

function Shown({ live, job }: { live: LiveJob; job: Job }) {
  const { store } = live;
  const lines = useLog(store);
  useEffect(() => {
    document.title = titleOf(job);
    return () => void (document.title = "Stepline");
  }, [job, language.value]);
  return (
    <div class="job" data-source={live.source.value}>
      <header class="page">
        <div class="grow">
          <h1>{job.name ?? job.id}</h1>
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
        <Actions live={live} job={job} />
      </header>
      {job.status === "failed" && job.error && <Failure job={job} lines={lines} />}
      <Progress job={job} />
      <RowsLine job={job} />
      <Tiles store={store} job={job} />
      <LossChart store={store} ended={isFinal(job)} />
      {store.summary.value && <Report id={live.id} />}
      <div class="columns">
        <Events store={store} />
        <LogPanel store={store} lines={lines} />
      </div>
      <div class="columns even">
        <Configuration job={job} />
        <Leavings store={store} />
      </div>
    </div>
  );
}

function titleOf(job: Job): string {
  const name = job.name ?? job.id;
  const percent = percentOfRows(job) ?? job.progress.percent;
  const loss = job.last_loss === null ? "" : ` · ${figure(job.last_loss, 3)}`;
  if (job.status !== "running") return `${sayName(job.status)}${loss} · ${name}`;
  const phase = job.phase && job.phase !== "training" ? `${sayName(job.phase)} ` : "";
  return `${phase}${percent === null || percent === undefined ? "…" : `${Math.floor(percent)}%`}${loss} · ${name}`;
}

function Actions({ live, job }: { live: LiveJob; job: Job }) {
  const act = (name: string) => async (): Promise<void> => {
    await call("POST", `/v1/jobs/${job.id}/${name}`);
    live.refresh();
  };
  const remove = async (): Promise<void> => {
    await call("DELETE", `/v1/jobs/${job.id}`);
    go("/");
  };
  const active = job.status === "queued" || job.status === "running";
  const known = openapi.value;
  const minimal = (): Tree => (known ? shortest(job.spec as Tree, defaults(known)) : (job.spec as Tree));
  const adapter = live.store.artifacts.value.find((artifact) => artifact.name === "adapter.zip");
  return (
    <div class="row actions">
      {adapter && (
        <a class="button primary" href={`/v1/jobs/${job.id}/artifacts/adapter.zip`} download>
          {say("download_adapter")}
        </a>
      )}
      {active && (
        <AskButton question={say("sure_pause")} action={act("pause")}>
          {say("pause")}
        </AskButton>
      )}
      {job.status === "paused" && (
        <AskButton question={say("sure_resume")} action={act("resume")} kind="primary">
          {say("resume")}
        </AskButton>
      )}
      {(job.status === "failed" || job.status === "cancelled") && (
        <AskButton question={say("sure_retry")} action={act("retry")} kind="primary">
          {say("retry")}
        </AskButton>
      )}
      {(active || job.status === "paused") && (
        <AskButton question={say("sure_cancel")} action={act("cancel")} kind="danger">
          {say("cancel")}
        </AskButton>
      )}
      <CopyButton text={() => asCurl(minimal())}>{say("copy_curl")}</CopyButton>
      <a class="button" href={`/new?from=${job.id}`}>
        {say("clone")}
      </a>
      {isFinal(job) && (
        <AskButton question={say("sure_delete")} action={remove} kind="danger">
          {say("delete")}
        </AskButton>
      )}
    </div>
  );
}

function Failure({ job, lines }: { job: Job; lines: LogLine[] }) {
  const error = job.error!;
  return (
    <section class="card failure" role="alert">
      <header>
        <h2>{error.step ? say("failed_at", { step: error.step }) : say("failed_because")}</h2>
        <code>{error.code}</code>
      </header>
      <p class="reason">{error.message}</p>
      {error.hint && (
        <p>
          <b>{say("what_to_do")}: </b>
          <span class="hint">{error.hint}</span>
        </p>
      )}
      {error.detail && <pre class="detail">{error.detail}</pre>}
      <details open={!error.detail}>
        <summary>{say("last_lines")}</summary>
        <pre class="detail">
          {lines
            .slice(-20)
            .map((line) => line.text)
            .join("\n") || say("no_log")}
        </pre>
      </details>
    </section>
  );
}

function Tiles({ store, job }: { store: JobStore; job: Job }) {
  store.drawn.value;
  const now = useClock(!isFinal(job) && job.started_at !== null);
  const curve = store.curve.value;
  const [loss, evals] = [curve.of("loss"), curve.of("eval_loss")];
  const best = loss.lowest();
  const bestEval = evals.lowest();
  const summary = store.summary.value;
  const lastEval = evals.last()?.value ?? job.eval_loss;
  const speed = recentSpeed(curve);
  const end = job.ended_at ? Date.parse(job.ended_at) : now;
  const elapsed = job.started_at ? Math.max(0, (end - Date.parse(job.started_at)) / 1000) : null;
  const eta = job.status === "running" ? job.eta_seconds : null;
  const memory = memoryOf(store);
  const { step, total_steps, epoch } = job.progress;
  return (
    <dl class="tiles">
      <Tile
        name={say("step")}
        value={count(step)}
        below={[
          total_steps && say("of_total", { total: count(total_steps) }),
          job.attempt > 1 && `${say("attempt")} ${job.attempt}`,
        ]
          .filter(Boolean)
          .join(" · ")}
      />
      <Tile
        name={say("epoch")}
        value={epoch === null || epoch === undefined ? NONE : epoch.toFixed(2)}
        below={job.spec.training?.max_steps ? "" : `/ ${job.spec.training?.epochs ?? 1}`}
      />
      <Tile
        name={say("train_loss")}
        value={
          loss.length && loss.last()!.value === null ? say("not_finite") : figure(loss.last()?.value ?? job.last_loss)
        }
        below={best ? say("best", { value: figure(best.value), step: shortStep(best.step) }) : ""}
      />
      <Tile
        name={say("eval_loss")}
        value={figure(lastEval)}
        below={
          bestEval && evals.length > 1
            ? say("best", { value: figure(bestEval.value), step: shortStep(bestEval.step) })
            : lastEval != null
              ? say("perplexity_of", { value: figure(Math.exp(lastEval), 2) })
              : ""
        }
      />
      <Tile
        name={say("speed")}
        value={
          isFinal(job) && summary?.tokens_per_second
            ? count(summary.tokens_per_second)
            : speed
              ? count(speed.tokens)
              : NONE
        }
        below={
          speed ? say("step_seconds", { value: speed.step < 10 ? speed.step.toFixed(2) : speed.step.toFixed(1) }) : ""
        }
      />
      {!isFinal(job) && (
        <Tile
          name={say("eta")}
          value={duration(eta)}
          below={eta == null ? (phaseLeft(job) ?? "") : say("until", { clock: clock(new Date(now + eta * 1000)) })}
        />
      )}
      <Tile
        name={say("elapsed")}
        value={duration(elapsed)}
        below={job.started_at ? say("since", { clock: clock(job.started_at) }) : ""}
      />
      <Tile
        name={say("memory")}
        value={bytes(summary?.peak_memory_bytes ?? memory?.used)}
        below={
          summary?.peak_memory_bytes
            ? say("peak")
            : memory?.total
              ? say("of_total", { total: bytes(memory.total) })
              : ""
        }
      />
    </dl>
  );
}

function Tile({ name, value, below }: { name: string; value: string; below: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        <small>{below || "\u00a0"}</small>
      </dd>
    </div>
  );
}

/** Medians of the newest steps: a thinned curve holds their extremes, which would pull a mean. */
function recentSpeed(curve: Curve): { tokens: number; step: number } | null {
  const [tokens, step] = [median(curve.of("tokens_per_second")), median(curve.of("seconds"))];
  return tokens === null || step === null ? null : { tokens, step };
}

function median(series: Series): number | null {
  const newest = series.value.slice(-31).filter((one): one is number => one !== null);
  newest.sort((one, other) => one - other);
  return newest[Math.floor(newest.length / 2)] ?? null;
}

function memoryOf(store: JobStore): { used: number; total: number | null } | null {
  const curve = store.curve.value;
  const used = curve.of("sys.gpu_memory_bytes").last()?.value ?? curve.of("sys.process_rss_bytes").last()?.value;
  if (!used) return null;
  return { used, total: null };
}

function Events({ store }: { store: JobStore }) {
  const events = store.events.value;
  const attempts = store.attempts.value;
  return (
    <Card
      title={say("events")}
      class="events-card"
      aside={
        attempts.length > 1 && (
          <span class="note">
            {say("attempts")}: {attempts.length}
          </span>
        )
      }
    >
      {events.length === 0 && <p class="note">{say("no_events")}</p>}
      <ol class="events" tabIndex={0} aria-label={say("events")}>
        {[...events].reverse().map((event) => (
          <li key={event.id} class={event.level}>
            <time>{clock(event.at, true)}</time>
            <span>
              {event.code === "phase" && typeof event.data.phase === "string"
                ? say("phase", { phase: sayName(event.data.phase) })
                : event.message}
            </span>
          </li>
        ))}
      </ol>
    </Card>
  );
}

function Report({ id }: { id: string }) {
  const [text, setText] = useState("");
  const path = `/v1/jobs/${id}/summary?lang=${language.value}`;
  useEffect(() => void getText(path).then(setText, () => undefined), [path]);
  return (
    <Card
      title={say("report")}
      aside={
        <>
          <CopyButton text={() => text}>{say("copy")}</CopyButton>
          <a class="button" href={`${path}&format=markdown`} download={`${id}.md`}>
            Markdown
          </a>
        </>
      }
    >
      <Boxed text={text} label={say("report_width")} />
    </Card>
  );
}

function Leavings({ store }: { store: JobStore }) {
  const attempts = store.attempts.value;
  const artifacts = store.artifacts.value;
  return (
    <Card title={`${say("attempts")} · ${say("files")}`}>
      <div class="scroll">
        <table>
          <tbody>
            {attempts.map((attempt) => (
              <tr key={attempt.id}>
                <td>{attempt.number}</td>
                <td>
                  <span class={`status ${attempt.status}`}>
                    <i aria-hidden="true" />
                    {sayName(attempt.status)}
                  </span>
                </td>
                <td>
                  {attempt.worker}
                  <br />
                  <small>{attempt.device}</small>
                </td>
                <td>
                  {clock(attempt.started_at)}
                  <br />
                  <small>
                    {attempt.last_step !== null
                      ? `${say("step")} ${count(attempt.first_step)}–${count(attempt.last_step)}`
                      : ""}
                  </small>
                </td>
              </tr>
            ))}
            {artifacts.map((artifact) => (
              <tr key={artifact.name}>
                <td colSpan={3}>
                  <a
                    href={`/v1/jobs/${store.id}/artifacts/${artifact.name}`}
                    download
                    aria-label={say("download", { name: artifact.name })}
                  >
                    {artifact.name}
                  </a>
                </td>
                <td>{bytes(artifact.bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
