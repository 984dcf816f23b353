// The list of jobs: search and filters in the address, the newest first, kept up to date.
import { signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Away, isFinal, type Job, Refused } from "../api";
import type { Value } from "../curve";
import { clock, count, duration, figure, NONE, shortId } from "../format";
import { readCurve } from "../history";
import { type Found, readJobs } from "../list";
import { language } from "../preferences";
import { onText, Progress, Sparkline, Status, useKeys } from "../parts/controls";
import { phaseLeft, shortRows } from "../parts/rows";
import { go, query, setQuery } from "../router";
import { say, sayName } from "../words";

const PAGE = 25;
const STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const POLL_MS = 2000;
/** Silence after which what was typed is looked for. */
const PAUSE_MS = 250;

/** The list as it was last seen, so that a way back shows it at once. */
const seen = signal<{ key: string; page: Found } | null>(null);

export function JobsPage() {
  const filters = {
    search: query.value.get("search") ?? "",
    status: query.value.get("status") ?? "",
    label: query.value.get("label") ?? "",
    cursor: query.value.get("cursor"),
  };
  const key = JSON.stringify([filters, language.value]);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let timer: number | undefined;
    let stopped = false;
    const show = (page: Found): boolean => {
      if (!stopped) seen.value = { key, page };
      return !stopped;
    };
    const look = async (): Promise<void> => {
      const isNew = seen.value?.key !== key;
      let pace = POLL_MS;
      try {
        const status = filters.status ? filters.status.split(",") : [];
        const page = await readJobs({ ...filters, status }, PAGE, (part) => (isNew ? show(part) : !stopped));
        if (!show(page)) return;
        if (page.searched > PAGE * 100) pace *= 10; // a long search is not repeated all the time
        setProblem("");
      } catch (error) {
        if (error instanceof Refused) setProblem(error.message);
        else if (!(error instanceof Away)) throw error;
      }
      if (!stopped) timer = window.setTimeout(() => void look(), document.hidden ? POLL_MS * 10 : pace);
    };
    void look();
    document.title = "Stepline";
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [key]);

  const isFiltered = Boolean(filters.search || filters.status || filters.label);
  const jobs = seen.value && (seen.value.key === key || seen.value.page.data.length) ? seen.value.page.data : null;
  return (
    <>
      <header class="page">
        <h1 class="grow">{say("jobs")}</h1>
        <a class="button primary" href="/new">
          {say("new_job")}
        </a>
      </header>
      <Filters {...filters} />
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {jobs === null ? (
        !problem && <p class="note">{say("loading")}</p>
      ) : jobs.length ? (
        <Table jobs={jobs} page={seen.value!.page} cursor={filters.cursor} />
      ) : isFiltered ? (
        <div class="empty">
          <b>{say("no_match")}</b>
          <Searched page={seen.value!.page} />
          <a href="/">{say("clear_filters")}</a>
        </div>
      ) : (
        <NoJobs />
      )}
    </>
  );
}

interface Chosen {
  search: string;
  status: string;
  label: string;
}

const isLabel = (text: string): boolean => /.:/.test(text);

function Filters({ search, status, label }: Chosen) {
  const [searchBox, labelBox] = [useRef<HTMLInputElement>(null), useRef<HTMLInputElement>(null)];
  const [isFaulty, setFaulty] = useState(false);
  const later = useLater((typed: Partial<Chosen>) => {
    if (typed.label === undefined) return setQuery({ ...typed, cursor: null });
    const fits = typed.label === "" || isLabel(typed.label);
    setFaulty(!fits);
    setQuery({ ...typed, label: fits ? typed.label : null, cursor: null });
  });
  useEffect(() => {
    if (label) setFaulty(false);
  }, [label]);
  useFollowing(searchBox, search);
  useFollowing(labelBox, isFaulty ? null : label);
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
        aria-label={say("search")}
        placeholder={say("search_jobs")}
        defaultValue={search}
        onInput={onText((text) => later({ search: text }))}
      />
      <input
        ref={labelBox}
        type="search"
        class="short"
        aria-label={say("label")}
        aria-invalid={isFaulty || undefined}
        title={isFaulty ? say("faulty_label") : undefined}
        placeholder={`${say("label")} ${say("label_example")}`}
        defaultValue={label}
        onInput={onText((text) => later({ label: text }))}
      />
      <div class="chips" role="group" aria-label={say("status")}>
        {STATUSES.map((one) => (
          <button
            key={one}
            type="button"
            class={`chip ${one}`}
            aria-pressed={chosen.includes(one)}
            onClick={() => toggle(one)}
          >
            {sayName(one)}
          </button>
        ))}
      </div>
    </form>
  );
}

/** A function that puts together what it is given, and uses all of it once the reader pauses. */
function useLater<T extends object>(use: (all: Partial<T>) => void): (part: Partial<T>) => void {
  const held = useRef<{ all: Partial<T>; timer: number | undefined }>({ all: {}, timer: undefined });
  const latest = useRef(use);
  latest.current = use;
  useEffect(() => () => clearTimeout(held.current.timer), []);
  return (part) => {
    Object.assign(held.current.all, part);
    clearTimeout(held.current.timer);
    held.current.timer = window.setTimeout(() => {
      latest.current(held.current.all);
      held.current.all = {};
    }, PAUSE_MS);
  };
}

/** Let a field show a value of the address as that changes, unless the reader is writing there; null leaves it alone. */
function useFollowing(field: RefObject<HTMLInputElement | null>, value: string | null): void {
  useEffect(() => {
    if (value !== null && field.current && document.activeElement !== field.current) field.current.value = value;
  }, [value]);
}

/** What a search has not looked through yet, and the way on. */
function Searched({ page }: { page: Found }) {
  if (!page.searched || !page.has_more) return null;
  return (
    <>
      <span class="note">{say("searched", { n: count(page.searched) })}</span>
      <button type="button" onClick={() => setQuery({ cursor: page.cursor }, true)}>
        {say("search_older")}
      </button>
    </>
  );
}

function Table({ jobs, page, cursor }: { jobs: Job[]; page: Found; cursor: string | null }) {
  const chosen = (query.value.get("ids") ?? "").split(",").filter(Boolean);
  const [marked, setMarked] = useState(-1);
  const toggle = (id: string): void => {
    const left = chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id].slice(-6);
    setQuery({ ids: left.join(",") });
  };
  const move = (by: number): void => {
    const to = Math.min(jobs.length - 1, Math.max(0, marked + by));
    setMarked(to);
    document.querySelectorAll("table.jobs tbody tr")[to]?.scrollIntoView({ block: "nearest" });
  };
  const job = jobs[marked];
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Enter: () => job && go(`/jobs/${job.id}`),
    o: () => job && go(`/jobs/${job.id}`),
    x: () => job && toggle(job.id),
  });
  return (
    <>
      <table class="jobs">
        <thead>
          <tr>
            <th>
              <span class="hidden">{say("compare")}</span>
            </th>
            <th>{say("job")}</th>
            <th>{say("status")}</th>
            <th>{say("progress")}</th>
            <th>{say("loss")}</th>
            <th>{say("left")}</th>
            <th>{say("created")}</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((one, at) => (
            <Row
              key={one.id}
              job={one}
              marked={at === marked}
              chosen={chosen.includes(one.id)}
              toggle={() => toggle(one.id)}
            />
          ))}
        </tbody>
      </table>
      <nav class="row pager" aria-label={say("jobs")}>
        {chosen.length >= 2 ? (
          <a class="button primary" href={`/compare?ids=${chosen.join(",")}`}>
            {say("compare_chosen", { n: chosen.length })}
          </a>
        ) : (
          <span class="note">{say("compare_hint")}</span>
        )}
        <span class="grow" />
        {cursor && (
          <button type="button" onClick={() => setQuery({ cursor: null }, true)}>
            {say("newer")}
          </button>
        )}
        {page.has_more && !page.searched && (
          <button type="button" onClick={() => setQuery({ cursor: page.cursor }, true)}>
            {say("older")}
          </button>
        )}
        <Searched page={page} />
      </nav>
    </>
  );
}

function Row({ job, marked, chosen, toggle }: { job: Job; marked: boolean; chosen: boolean; toggle: () => void }) {
  const { step, total_steps } = job.progress;
  const name = job.name ?? shortId(job.id);
  return (
    <tr class={marked ? "marked" : ""} aria-current={marked ? "true" : undefined}>
      <td>
        <input type="checkbox" checked={chosen} onChange={toggle} aria-label={say("choose_to_compare", { name })} />
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
        {job.error && <small class="cut">{job.error.message}</small>}
      </td>
      <td class="amount">
        <Progress job={job} />
        <small>{shortRows(job) ?? `${count(step)}${total_steps ? ` / ${count(total_steps)}` : ""}`}</small>
      </td>
      <td class="course">
        <Course job={job} />
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

const courses = new Map<string, { step: number; values: Value[] }>();

/** A few dozen points of the loss; asked for again as the job goes on, once for one that has ended. */
function Course({ job }: { job: Job }) {
  const [values, setValues] = useState<Value[]>(courses.get(job.id)?.values ?? []);
  const step = job.progress.step;
  const due = isFinal(job) ? step : step - (step % Math.max(1, Math.ceil((job.progress.total_steps ?? 100) / 100)));
  useEffect(() => {
    if (step < 2 || courses.get(job.id)?.step === due) return;
    courses.set(job.id, { step: due, values });
    readCurve(job.id, null, 40, "loss").then(
      ({ curve }) => {
        courses.set(job.id, { step: due, values: curve.of("loss").value });
        setValues(curve.of("loss").value);
      },
      () => void courses.delete(job.id),
    );
  }, [job.id, due]);
  return <Sparkline values={values} />;
}

function NoJobs() {
  return (
    <div class="empty">
      <b>{say("no_jobs")}</b>
      <span>{say("no_jobs_hint")}</span>
      <pre>{`curl -s ${location.origin}/v1/datasets -F file=@examples/alpaca.json
curl -s ${location.origin}/v1/jobs -H 'Content-Type: application/json' \\
  -d '{"model": "Qwen/Qwen2-0.5B-Instruct", "dataset": {"train": "ds_…"}}'`}</pre>
      <a class="button primary" href="/new">
        {say("new_job")}
      </a>
    </div>
  );
}
