// A job's attempts and files.
import type { Attempt } from "../../api";
import { bytes, clock, count } from "../../format";
import type { JobStore } from "../../live/store";
import { Card } from "../../parts/controls";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";
import { SHARED } from "../../texts/shared";
import { sayState } from "../../texts/states";
import { reasonOf } from "./attempt-ends";

export function Attempts({ store }: { store: JobStore }) {
  const attempts = store.attempts.value;
  const artifacts = store.artifacts.value;
  return (
    <Card title={`${say(JOB.attempts)} · ${say(JOB.files)}`}>
      {attempts.length + artifacts.length === 0 && <p class="note">{say(JOB.no_attempts)}</p>}
      <div class="scroll">
        <table>
          <tbody>
            {attempts.map((attempt) => (
              <AttemptRow key={attempt.id} attempt={attempt} />
            ))}
            {artifacts.map((artifact) => (
              <tr key={artifact.name}>
                <td colSpan={3}>
                  <a
                    href={`/v1/jobs/${store.id}/artifacts/${artifact.name}`}
                    download
                    aria-label={say(JOB.download, { name: artifact.name })}
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

/** An attempt, and below it why it ended, unless its status says everything. */
function AttemptRow({ attempt }: { attempt: Attempt }) {
  const reason = attempt.status === "paused" || attempt.status === "cancelled" ? null : reasonOf(attempt);
  return (
    <>
      <tr class={reason ? "explained" : ""}>
        <td>{attempt.number}</td>
        <td>
          <span class={`status ${attempt.status}`}>
            <i aria-hidden="true" />
            {sayState(attempt.status)}
          </span>
        </td>
        <td>
          {attempt.worker}
          <br />
          <small>
            {attempt.device}
            {attempt.gpus > 1 && ` · ${say(SHARED.gpus, { n: attempt.gpus })}`}
          </small>
        </td>
        <td>
          {clock(attempt.started_at)}
          <br />
          <small>
            {attempt.last_step !== null &&
              say(JOB.step_range, { first: count(attempt.first_step), last: count(attempt.last_step) })}
            {attempt.resumed_step !== null && ` · ${say(JOB.resumed_at, { step: count(attempt.resumed_step) })}`}
          </small>
        </td>
      </tr>
      {reason && (
        <tr class="reason">
          <td />
          <td colSpan={3} title={attempt.error?.detail || undefined}>
            {say(JOB.ended_because, { reason })}
          </td>
        </tr>
      )}
    </>
  );
}
