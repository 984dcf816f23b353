// The jobs that the list has shown: their pages need not find out first whether they exist.
import type { Job } from "../api";

const known = new Map<string, Job>();

export function rememberJobs(jobs: Job[]): void {
  for (const job of jobs) known.set(job.id, job);
}

/** Return a job as the list last showed it, once: it may be deleted later. */
export function takeKnownJob(id: string): Job | undefined {
  const job = known.get(id);
  known.delete(id);
  return job;
}
