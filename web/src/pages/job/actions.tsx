// The actions on a job: the buttons next to its name.
import { call, isFinal, type Job } from "../../api";
import type { LiveJob } from "../../live/job";
import { ArchiveButton, EditButton } from "./edit";
import { AskButton, CopyButton } from "../../parts/controls";
import { go } from "../../router";
import { asCurl, defaults, openapi, shortest, type Tree } from "../../spec";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";

export function Actions({ live, job }: { live: LiveJob; job: Job }) {
  const act = (name: string) => async (): Promise<void> => {
    await call("POST", `/v1/jobs/${job.id}/${name}`);
    live.refresh();
  };
  const remove = async (): Promise<void> => {
    await call("DELETE", `/v1/jobs/${job.id}`);
    go("/");
  };
  const active = job.status === "queued" || job.status === "running";
  const keepRunning = say(job.status === "running" ? JOB.keep_training : JOB.keep_job);
  const known = openapi.value;
  const minimal = (): Tree => (known ? shortest(job.spec as Tree, defaults(known)) : (job.spec as Tree));
  const adapter = live.store.artifacts.value.find((artifact) => artifact.name === "adapter.zip");
  return (
    <div class="row actions">
      {adapter && (
        <a class="button primary" href={`/v1/jobs/${job.id}/artifacts/adapter.zip`} download>
          {say(JOB.download_adapter)}
        </a>
      )}
      {active && (
        <AskButton question={say(JOB.sure_pause)} confirm={say(JOB.pause_job)} keep={keepRunning} action={act("pause")}>
          {say(JOB.pause)}
        </AskButton>
      )}
      {job.status === "paused" && (
        <AskButton
          question={say(JOB.sure_resume)}
          confirm={say(JOB.resume_job)}
          keep={say(JOB.keep_paused)}
          action={act("resume")}
          kind="primary"
        >
          {say(JOB.resume)}
        </AskButton>
      )}
      {(job.status === "failed" || job.status === "cancelled") && (
        <AskButton question={say(JOB.sure_retry)} confirm={say(JOB.retry_job)} action={act("retry")} kind="primary">
          {say(JOB.retry)}
        </AskButton>
      )}
      {(active || job.status === "paused") && (
        <AskButton
          question={say(JOB.sure_cancel)}
          confirm={say(JOB.cancel_job)}
          keep={keepRunning}
          action={act("cancel")}
          kind="danger"
        >
          {say(JOB.cancel)}
        </AskButton>
      )}
      <EditButton live={live} job={job} />
      <ArchiveButton live={live} job={job} />
      <CopyButton text={() => asCurl(minimal())}>{say(JOB.copy_curl)}</CopyButton>
      <a class="button" href={`/new?from=${job.id}`}>
        {say(JOB.clone)}
      </a>
      {isFinal(job) && (
        <AskButton
          question={say(JOB.sure_delete)}
          confirm={say(JOB.delete_job)}
          keep={say(JOB.keep_job)}
          action={remove}
          kind="danger"
        >
          {say(JOB.delete)}
        </AskButton>
      )}
    </div>
  );
}
