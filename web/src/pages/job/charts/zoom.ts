// Leads from a finding on a job's health to its step in the charts.
import type { Job } from "../../../api";
import { setQuery } from "../../../router";

/** Share of the run to show around the step of a finding. */
const AROUND = 0.02;
const FEWEST_AROUND = 10;

/** Show the steps around a step in the charts, and scroll to the charts. */
export function zoomTo(step: number, job: Job): void {
  const around = Math.max(FEWEST_AROUND, Math.round(AROUND * (job.progress.total_steps ?? 0)));
  setQuery({ from: String(Math.max(0, step - around)), to: String(step + around) }, true);
  document.querySelector(".charts")?.scrollIntoView({ block: "nearest" });
}
