// Workers and their GPUs: who is there, what it computes on, and which job it holds.
import { useEffect, useState } from "preact/hooks";
import { get, type List, type Worker } from "../api";
import { bytes, duration, shortId } from "../format";
import { language } from "../preferences";
import { Card, useClock } from "../parts/controls";
import { say } from "../words";

const POLL_MS = 3000;

export function WorkersPage() {
  const [workers, setWorkers] = useState<Worker[] | null>(null);
  const now = useClock(true);
  useEffect(() => {
    document.title = `${say("workers")} · Stepline`;
    let timer: number | undefined;
    let stopped = false;
    const look = async (): Promise<void> => {
      try {
        const page = await get<List<Worker>>("/v1/workers");
        if (!stopped) setWorkers(page.data);
      } catch {
        // The banner tells.
      }
      if (!stopped) timer = window.setTimeout(() => void look(), document.hidden ? POLL_MS * 10 : POLL_MS);
    };
    void look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [language.value]);
  return (
    <>
      <header class="page">
        <h1>{say("workers")}</h1>
      </header>
      {workers === null ? (
        <p class="note">{say("loading")}</p>
      ) : workers.length === 0 ? (
        <div class="empty">
          <b>{say("no_workers")}</b>
          <span>{say("no_workers_hint")}</span>
          <pre>{`STEPLINE_SERVER_URL=${location.origin} STEPLINE_WORKER_TOKEN=… stepline worker`}</pre>
        </div>
      ) : (
        <div class="workers">
          {workers.map((worker) => (
            <WorkerCard key={worker.id} worker={worker} now={now} />
          ))}
        </div>
      )}
    </>
  );
}

function WorkerCard({ worker, now }: { worker: Worker; now: number }) {
  const { device } = worker;
  const age = duration((now - Date.parse(worker.last_seen_at)) / 1000);
  const rows: [string, preact.ComponentChildren][] = [
    [
      say("device"),
      `${device.name || (device.kind ?? "").toUpperCase()}${device.memory_bytes ? ` · ${bytes(device.memory_bytes)}` : ""}`,
    ],
    [
      say("current_job"),
      worker.current_job ? <a href={`/jobs/${worker.current_job}`}>{shortId(worker.current_job)}</a> : say("idle"),
    ],
    [say("queue"), worker.queue],
    [say("last_seen"), say("ago", { age })],
    [say("models"), worker.models === null ? say("any_model") : worker.models.join(", ") || "—"],
    [
      say("versions"),
      Object.entries(worker.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(" · "),
    ],
  ];
  return (
    <Card
      title={worker.id}
      aside={
        <span class={`status ${worker.live ? "live" : "lost"}`}>
          <i aria-hidden="true" />
          {say(worker.live ? "live" : "silent")}
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
