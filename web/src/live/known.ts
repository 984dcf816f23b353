// Remembers the jobs that the list has shown, so that their pages do not have to check first whether they exist.
import type { Job } from "../api";

const known = new Map<string, Job>();

export function rememberJobs(jobs: Job[]): void {
  for (const job of jobs) known.set(job.id, job);
}

/** Return a job as the list last showed it, and forget it, because it may be deleted later. */
export function takeKnownJob(id: string): Job | undefined {
  const job = known.get(id);
  known.delete(id);
  return job;
}
