// Why a job failed, and what to do about it.
import type { Job, LogLine } from "../../api";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job";

export function Failure({ job, lines }: { job: Job; lines: LogLine[] }) {
  const error = job.error!;
  return (
    <section class="card failure" role="alert">
      <header>
        <h2>{error.step ? say(JOB.failed_at, { step: error.step }) : say(JOB.failed_because)}</h2>
        <code>{error.code}</code>
      </header>
      <p class="reason">{error.message}</p>
      {error.hint && (
        <p>
          <b>{say(JOB.what_to_do)}</b> <span class="hint">{error.hint}</span>
        </p>
      )}
      {error.detail && <pre class="detail">{error.detail}</pre>}
      <details open={!error.detail}>
        <summary>{say(JOB.last_lines)}</summary>
        <pre class="detail">
          {lines
            .slice(-20)
            .map((line) => line.text)
            .join("\n") || say(JOB.no_log)}
        </pre>
      </details>
    </section>
  );
}
