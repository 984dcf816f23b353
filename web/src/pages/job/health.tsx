// The findings on a job's health: the problem, when it began, what to do, and a button to acknowledge it.
import { call, isFinal, type Job } from "../../api";
import type { LiveJob } from "../../live/job";
import { count } from "../../format";
import { adviceOn, HEALTH, sayFinding } from "../../texts/job/health";
import { say } from "../../texts/say";
import { type Finding, hasStep, sentenceOf } from "./charts/health-marks";
import { zoomTo } from "./charts/zoom";

export function Health({ live, job }: { live: LiveJob; job: Job }) {
  const health = job.health ?? [];
  if (!health.length) return null;
  return (
    <ul class="health" aria-label={say(HEALTH.health)}>
      {health.map((finding) => (
        <Chip key={finding.code} live={live} job={job} finding={finding} />
      ))}
    </ul>
  );
}

function Chip({ live, job, finding }: { live: LiveJob; job: Job; finding: Finding }) {
  const acknowledge = async (): Promise<void> => {
    await call("POST", `/v1/jobs/${job.id}/health/${finding.code}/acknowledge`).catch(() => undefined);
    live.refresh(); // even if another reader was faster, or the finding has just been cleared
  };
  const step = count(finding.step);
  return (
    <li class={`${finding.level}${finding.acknowledged ? " quiet" : ""}`} data-code={finding.code}>
      <b>{sayFinding(finding.code)}</b>
      {hasStep(finding) && (
        <button
          type="button"
          class="link"
          title={say(HEALTH.show_step, { step })}
          onClick={() => zoomTo(finding.step, job)}
        >
          {say(HEALTH.at_step, { step })}
        </button>
      )}
      <span>
        {sentenceOf(finding)} {!isFinal(job) && adviceOn(finding)}
      </span>
      {finding.acknowledged ? (
        <small>{say(HEALTH.acknowledged)}</small>
      ) : (
        <button type="button" title={say(HEALTH.acknowledge_hint)} onClick={() => void acknowledge()}>
          {say(HEALTH.acknowledge)}
        </button>
      )}
    </li>
  );
}
