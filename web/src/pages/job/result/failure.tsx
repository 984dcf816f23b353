// Why a job failed, what to do about it, and a link to the form at the setting to change.
import type { Attempt, Job, LogLine } from "../../../api";
import { count } from "../../../format";
import { leaves, type Tree } from "../../../spec";
import { JOB } from "../../../texts/job/job";
import { say } from "../../../texts/say";

/** The setting to change first, for each reason. For the other reasons, the form opens without a field. */
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
  disk_full: "checkpoint.keep",
  device_failed: "model",
};

export function Failure({ job, attempts, lines }: { job: Job; attempts: Attempt[]; lines: LogLine[] }) {
  const error = job.error!;
  const field = offendingField(job, attempts);
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
      <p class="fix">
        <a class="button primary" href={`/new?from=${job.id}${field ? `&field=${field}` : ""}`}>
          {say(JOB.fix_and_resubmit)}
        </a>
        {field && <code>{field}</code>}
      </p>
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

/** Return the path of the setting to change: the first that the detail names, or else the one that belongs to the reason. */
function offendingField(job: Job, attempts: Attempt[]): string | null {
  const { code, detail = "" } = job.error!;
  // If a job has used up its attempts, the last one has the reason; an attempt whose worker was lost has none.
  const reason = code === "attempts_exhausted" ? attempts.at(-1)?.error?.code : code;
  if (reason === "spec_refused") return firstNamed([...leaves(job.spec as Tree).keys()], detail);
  return (reason && FIELDS[reason]) || null;
}

/** Return the dotted path that a text names first; of two at the same place, the longer one. */
function firstNamed(paths: string[], text: string): string | null {
  const named = paths.filter((path) => path.includes(".") && text.includes(path));
  named.sort((one, other) => text.indexOf(one) - text.indexOf(other) || other.length - one.length);
  return named[0] ?? null;
}
