// A badge in the list of jobs: the worst unacknowledged finding, and the number of other findings.
import type { Job } from "../../api";
import { HEALTH, sayFinding } from "../../texts/job/health";
import { say } from "../../texts/say";

export function HealthBadge({ job }: { job: Job }) {
  const open = (job.health ?? []).filter((finding) => !finding.acknowledged && finding.level !== "info");
  const [worst] = open;
  if (!worst) return null;
  const label = say(HEALTH.warnings, { n: open.length, names: open.map((one) => sayFinding(one.code)).join(", ") });
  return (
    <small class={`badge ${worst.level}`} title={label}>
      {sayFinding(worst.code)}
      {open.length > 1 && ` +${open.length - 1}`}
    </small>
  );
}
