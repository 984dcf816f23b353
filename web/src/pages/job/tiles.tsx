// A job's figures: the newest value of each, with its best value or its total below.
import { type Attempt, isFinal, type Job, type Summary, unreachableSince } from "../../api";
import type { Curve, Series } from "../../history/curve";
import { bytes, clock, count, duration, figure, NONE, shortStep } from "../../format";
import type { JobStore } from "../../live/store";
import { useClock } from "../../parts/controls";
import { phaseLeft } from "../../parts/rows";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";
import { SHARED } from "../../texts/shared";

export function Tiles({ store, job }: { store: JobStore; job: Job }) {
  store.drawn.value;
  const now = useClock(!isFinal(job) && job.started_at !== null);
  const curve = store.curve.value;
  const [loss, evals] = [curve.of("loss"), curve.of("eval_loss")];
  const ended = isFinal(job);
  const isRunning = job.status === "running";
  const best = loss.lowest();
  const bestEval = evals.lowest();
  const summary = store.summary.value;
  const lastEval = summary?.eval_loss ?? evals.last()?.value ?? job.eval_loss;
  const isBase = !summary && evals.length > 0 && evals.last()!.step === 0;
  const speed = recentSpeed(curve);
  // Without a response from the server, the estimate may be wrong by any amount.
  const eta = isRunning && unreachableSince.value === null ? job.eta_seconds : null;
  const memory = memoryOf(store);
  const { step, total_steps, epoch } = job.progress;
  return (
    <dl class="tiles">
      <Tile
        isRunning={isRunning}
        name={say(JOB.step)}
        value={count(step)}
        below={[
          total_steps && say(JOB.of_total, { total: count(total_steps) }),
          job.status === "succeeded" && step < (total_steps ?? 0) && say(JOB.stopped_early),
          job.attempt > 1 && say(JOB.attempt, { n: job.attempt }),
        ]
          .filter(Boolean)
          .join(" · ")}
      />
      <Tile
        isRunning={isRunning}
        name={say(JOB.epoch)}
        value={epoch === null || epoch === undefined ? NONE : epoch.toFixed(2)}
        below={job.spec.training?.max_steps ? "" : `/ ${job.spec.training?.epochs ?? 1}`}
      />
      <Tile
        isRunning={isRunning}
        name={say(JOB.last_train_loss)}
        value={
          loss.length && loss.last()!.value === null ? say(JOB.not_finite) : figure(loss.last()?.value ?? job.last_loss)
        }
        below={best ? say(JOB.best, { value: figure(best.value), step: shortStep(best.step) }) : ""}
      />
      <Tile
        isRunning={isRunning}
        name={say(SHARED.eval_loss)}
        value={figure(lastEval)}
        below={[
          summary && say(JOB.adapter_of, { step: count(summary.adapter_step) }),
          bestEval && evals.length > 1 && bestEval.step !== summary?.adapter_step
            ? say(JOB.best, { value: figure(bestEval.value), step: shortStep(bestEval.step) })
            : isBase
              ? say(JOB.of_base_model)
              : lastEval != null && !summary && say(JOB.perplexity_of, { value: figure(Math.exp(lastEval), 2) }),
        ]
          .filter(Boolean)
          .join(" · ")}
      />
      <Tile
        isRunning={isRunning}
        name={say(SHARED.speed)}
        value={
          ended && summary?.tokens_per_second ? count(summary.tokens_per_second) : speed ? count(speed.tokens) : NONE
        }
        below={
          speed ? say(JOB.step_seconds, { value: speed.step < 10 ? speed.step.toFixed(2) : speed.step.toFixed(1) }) : ""
        }
      />
      {isRunning && (
        <Tile
          isRunning={isRunning}
          class="eta"
          name={say(JOB.eta)}
          value={duration(eta)}
          below={eta == null ? (phaseLeft(job) ?? "") : say(JOB.until, { clock: clock(new Date(now + eta * 1000)) })}
        />
      )}
      {timeTile(job, summary, store.attempts.value, now)}
      <Tile
        isRunning={isRunning}
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

/** The time spent on the job, which excludes the time it was queued or paused: of training once it is known, else of all attempts. */
function timeTile(job: Job, summary: Summary | null, attempts: Attempt[], now: number) {
  if (summary) {
    return (
      <Tile name={say(JOB.training_time)} value={duration(summary.duration_seconds)} below={say(JOB.without_waiting)} />
    );
  }
  const seconds = attempts.map((one) => (attemptEnd(one, job, now) - Date.parse(one.started_at)) / 1000);
  const total = seconds.length ? seconds.reduce((sum, one) => sum + Math.max(0, one), 0) : null;
  return (
    <Tile
      isRunning={job.status === "running"}
      name={say(JOB.run_time)}
      value={duration(total)}
      below={say(JOB.without_waiting)}
    />
  );
}

/** Return when an attempt ended. For a running one, return the current time, or when its worker was last heard from. */
function attemptEnd(attempt: Attempt, job: Job, now: number): number {
  if (attempt.ended_at) return Date.parse(attempt.ended_at);
  return job.status === "running" && !job.unreachable && unreachableSince.value === null
    ? now
    : Date.parse(attempt.synced_at);
}

interface TileProps {
  name: string;
  value: string;
  below: string;
  isRunning?: boolean;
  class?: string;
}

/** A tile without a value is shown only while the job is running, because only then will it soon have one. */
function Tile({ name, value, below, isRunning, class: kind }: TileProps) {
  if (!isRunning && value === NONE) return null;
  return (
    <div class={kind}>
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
