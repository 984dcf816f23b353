// A job's figures: the newest value of each, with its best value or its total below.
import { isFinal, type Job } from "../../api";
import type { Curve, Series } from "../../curve";
import { bytes, clock, count, duration, figure, NONE, shortStep } from "../../format";
import type { JobStore } from "../../live/store";
import { useClock } from "../../parts/controls";
import { phaseLeft } from "../../parts/rows";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";
import { SHARED } from "../../texts/shared";

export function Tiles({ store, job }: { store: JobStore; job: Job }) {
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
        name={say(JOB.step)}
        value={count(step)}
        below={[
          total_steps && say(JOB.of_total, { total: count(total_steps) }),
          job.attempt > 1 && say(JOB.attempt, { n: job.attempt }),
        ]
          .filter(Boolean)
          .join(" · ")}
      />
      <Tile
        name={say(JOB.epoch)}
        value={epoch === null || epoch === undefined ? NONE : epoch.toFixed(2)}
        below={job.spec.training?.max_steps ? "" : `/ ${job.spec.training?.epochs ?? 1}`}
      />
      <Tile
        name={say(JOB.train_loss)}
        value={
          loss.length && loss.last()!.value === null ? say(JOB.not_finite) : figure(loss.last()?.value ?? job.last_loss)
        }
        below={best ? say(JOB.best, { value: figure(best.value), step: shortStep(best.step) }) : ""}
      />
      <Tile
        name={say(SHARED.eval_loss)}
        value={figure(lastEval)}
        below={
          bestEval && evals.length > 1
            ? say(JOB.best, { value: figure(bestEval.value), step: shortStep(bestEval.step) })
            : lastEval != null
              ? say(JOB.perplexity_of, { value: figure(Math.exp(lastEval), 2) })
              : ""
        }
      />
      <Tile
        name={say(SHARED.speed)}
        value={
          isFinal(job) && summary?.tokens_per_second
            ? count(summary.tokens_per_second)
            : speed
              ? count(speed.tokens)
              : NONE
        }
        below={
          speed ? say(JOB.step_seconds, { value: speed.step < 10 ? speed.step.toFixed(2) : speed.step.toFixed(1) }) : ""
        }
      />
      {!isFinal(job) && (
        <Tile
          name={say(JOB.eta)}
          value={duration(eta)}
          below={eta == null ? (phaseLeft(job) ?? "") : say(JOB.until, { clock: clock(new Date(now + eta * 1000)) })}
        />
      )}
      <Tile
        name={say(JOB.elapsed)}
        value={duration(elapsed)}
        below={job.started_at ? say(JOB.since, { clock: clock(job.started_at) }) : ""}
      />
      <Tile
        name={say(JOB.memory)}
        value={bytes(summary?.peak_memory_bytes ?? memory?.used)}
        below={
          summary?.peak_memory_bytes
            ? summary.predicted_memory_bytes
              ? say(JOB.peak_predicted, { bytes: bytes(summary.predicted_memory_bytes) })
              : say(JOB.peak)
            : memory?.total
              ? say(JOB.of_total, { total: bytes(memory.total) })
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

/** Return medians over the newest points. Means would be wrong, because a downsampled curve keeps the extreme values. */
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
