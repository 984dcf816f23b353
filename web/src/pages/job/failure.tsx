// Why a job failed, what to do about it, and a link to the form at the setting to change.
import type { Job, LogLine } from "../../api";
import { count } from "../../format";
import { leaves, type Tree } from "../../spec";
import { JOB } from "../../texts/job/job";
import { say } from "../../texts/say";

/** The setting that the hint of each reason names first. The other reasons are not caused by a setting. */
const FIELDS: Record<string, string> = {
  model_not_found: "model",
  model_refused: "model",
  dataset_not_found: "dataset.train",
  dataset_invalid: "dataset.train",
  dataset_too_small: "dataset.eval_size",
  oom_gpu: "training.max_length",
  oom_host: "training.max_length",
  loss_not_finite: "training.learning_rate",
  loss_zero: "dataset.train",
  adapter_frozen: "training.learning_rate",
};

export function Failure({ job, lines }: { job: Job; lines: LogLine[] }) {
  const error = job.error!;
  const field = offendingField(job);
  return (
    <section class="card failure" role="alert">
      <header>
        <h2>{error.step ? say(JOB.failed_at, { step: count(error.step) }) : say(JOB.failed_because)}</h2>
        <code>{error.code}</code>
      </header>
      <p class="reason">{error.message}</p>
      {error.hint && (
        <p>
          <b>{say(JOB.what_to_do)}</b> <span class="hint">{error.hint}</span>
        </p>
      )}
      {field && (
        <p class="fix">
          <a class="button primary" href={`/new?from=${job.id}&field=${field}`}>
            {say(JOB.fix_and_resubmit)}
          </a>
          <code>{field}</code>
        </p>
      )}
      {error.detail && (
        <pre class="detail" lang="en">
          {error.detail}
        </pre>
      )}
      <details open={!error.detail}>
        <summary>{say(JOB.last_lines)}</summary>
        <pre class="detail" lang="en">
          {lines
            .slice(-20)
            .map((line) => line.text)
            .join("\n") || say(JOB.no_log)}
        </pre>
      </details>
    </section>
  );
}

/** Return the path of the setting to change: one that the detail names, or else the one that belongs to the reason. */
function offendingField(job: Job): string | null {
  const { code, detail = "" } = job.error!;
  if (code === "spec_refused") {
    const paths = [...leaves(job.spec as Tree)].map(([path]) => path).filter((path) => path.includes("."));
    return paths.find((path) => detail.includes(path)) ?? null;
  }
  // If a job has used up its attempts, the detail states the reason for the last failure.
  const reason = code === "attempts_exhausted" ? Object.keys(FIELDS).find((one) => detail.includes(one)) : code;
  return (reason && FIELDS[reason]) || null;
}
