// The workers: their devices, their current jobs, and whether they are online.
import { useEffect, useState } from "preact/hooks";
import { type components, get, type List, type Worker } from "../api";
import { bytes, count, duration, NONE, shortId } from "../format";
import { language } from "../preferences";
import { Card, useClock } from "../parts/controls";
import { usePoll } from "../parts/poll";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";
import { WORKERS } from "../texts/workers";

const POLL_MS = 3000;
/** Maximum number of models that a worker's card names. */
const MOST_SHOWN = 20;

type ModelPage = components["schemas"]["ModelPage"];

export function WorkersPage() {
  const [workers, setWorkers] = useState<Worker[] | null>(null);
  const [models, setModels] = useState<ModelPage | null>(null);
  const now = useClock(true);
  useEffect(() => void (document.title = `${say(SHARED.workers)} · Stepline`), [language.value]);
  usePoll(
    async (isCurrent) => {
      try {
        const [found, installed] = await Promise.all([get<List<Worker>>("/v1/workers"), get<ModelPage>("/v1/models")]);
        if (!isCurrent()) return null;
        setWorkers(found.data);
        setModels(installed);
      } catch {
        // The banner already reports that the server is unreachable.
      }
      return POLL_MS;
    },
    [language.value],
  );
  return (
    <>
      <header class="page">
        <h1>{say(SHARED.workers)}</h1>
      </header>
      {workers === null ? (
        <p class="note">{say(SHARED.loading)}</p>
      ) : workers.length === 0 ? (
        <div class="empty">
          <b>{say(WORKERS.none)}</b>
          <span>{say(WORKERS.none_hint)}</span>
          <pre>{`STEPLINE_SERVER_URL=${location.origin} STEPLINE_WORKER_TOKEN=… stepline worker`}</pre>
        </div>
      ) : (
        <div class="workers">
          {models?.has_more && <p class="note">{say(WORKERS.models_cut, { n: count(models.data.length) })}</p>}
          {workers.map((worker) => (
            <WorkerCard
              key={worker.id}
              worker={worker}
              installed={(models?.data ?? [])
                .filter((model) => model.workers.some(({ id }) => id === worker.id))
                .map(({ id }) => id)}
              now={now}
            />
          ))}
        </div>
      )}
    </>
  );
}

interface CardProps {
  worker: Worker;
  /** Ids of the models on the worker. */
  installed: string[];
  now: number;
}

function WorkerCard({ worker, installed, now }: CardProps) {
  const { device, device_check: check } = worker;
  const ageOf = (time: string) => duration(Math.max(0, now - Date.parse(time)) / 1000); // the clock that set `time` may be ahead
  const hasFailed = check !== null && !check.passed;
  const rows: [string, preact.ComponentChildren][] = [
    [
      say(WORKERS.device),
      `${device.name || (device.kind ?? "").toUpperCase()}${device.memory_bytes ? ` · ${bytes(device.memory_bytes)}` : ""}`,
    ],
    [
      say(WORKERS.current_job),
      worker.current_job ? (
        <>
          <a href={`/jobs/${worker.current_job}`}>{shortId(worker.current_job)}</a>
          {worker.current_gpus != null &&
            worker.current_gpus > 1 &&
            ` · ${say(SHARED.gpus, { n: worker.current_gpus })}`}
        </>
      ) : worker.lends_gpu_to ? (
        <>
          {say(WORKERS.lends)} <a href={`/jobs/${worker.lends_gpu_to}`}>{shortId(worker.lends_gpu_to)}</a>
        </>
      ) : (
        say(WORKERS.idle)
      ),
    ],
    ...(worker.gpus > 1 ? [[say(WORKERS.for_one_job), say(SHARED.gpus, { n: worker.gpus })] as [string, string]] : []),
    [say(WORKERS.queue), worker.queue],
    [say(WORKERS.last_seen), say(WORKERS.ago, { age: ageOf(worker.last_seen_at) })],
    [say(WORKERS.models), modelsOf(worker, installed)],
    [
      say(WORKERS.versions),
      Object.entries(worker.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(" · ") || NONE,
    ],
  ];
  if (hasFailed) {
    rows.splice(1, 0, [
      say(WORKERS.failed),
      <>
        {check.since && say(WORKERS.ago, { age: ageOf(check.since) })}
        <pre class="detail">{check.reason}</pre>
      </>,
    ]);
  }
  const [state, text] = !worker.live
    ? (["lost", WORKERS.silent] as const)
    : hasFailed
      ? (["failed", WORKERS.device_failed] as const)
      : (["live", WORKERS.live] as const);
  return (
    <Card
      title={worker.id}
      aside={
        <span class={`status ${state}`}>
          <i aria-hidden="true" />
          {say(text)}
        </span>
      }
    >
      <dl class="settings">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

/** The installed models, one per line, and whether the worker can download others. */
function modelsOf(worker: Worker, installed: string[]) {
  if (!installed.length) return worker.models === null ? say(WORKERS.any_model) : NONE;
  return (
    <>
      {installed.slice(0, MOST_SHOWN).map((id) => (
        <span key={id} class="line">
          {id}
        </span>
      ))}
      {installed.length > MOST_SHOWN && (
        <small class="line">{say(WORKERS.more_models, { n: count(installed.length - MOST_SHOWN) })}</small>
      )}
      {worker.models === null && <small class="line">{say(WORKERS.also_any_model)}</small>}
    </>
  );
}
