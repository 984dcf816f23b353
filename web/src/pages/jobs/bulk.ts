// Runs one action on many jobs: a few requests at a time, with progress, and the server's message for each job that was rejected.
import { signal } from "@preact/signals";
import { ApiError, call, type JobName } from "../../api";

export type Action =
  | { name: "cancel" }
  | { name: "delete" }
  | { name: "archive"; archived: boolean }
  | { name: "label"; labels: Record<string, string | null> };

export interface Rejected {
  id: string;
  message: string;
}

export interface Run {
  action: Action;
  total: number;
  done: number;
  rejected: Rejected[];
  /** Jobs whose request was not sent, because the user stopped the action or the server became unreachable. */
  left: string[];
  isOver: boolean;
}

const CONCURRENT = 4;

/** Names of the jobs seen so far, so that messages about jobs on other pages can name them. */
const names = new Map<string, string>();

export function rememberNames(jobs: JobName[]): void {
  for (const job of jobs) names.set(job.id, job.name ?? job.id);
}

export const nameOf = (id: string): string => names.get(id) ?? id;

export const current = signal<Run | null>(null);
let stopping = false;

export function stop(): void {
  stopping = true;
}

/** Run the action on these jobs. `current` shows the progress. Return the ids of the jobs that still need it. */
export async function run(action: Action, ids: string[]): Promise<string[]> {
  const waiting = [...ids];
  const rejected: Rejected[] = [];
  stopping = false;
  let done = 0;
  const show = (isOver: boolean): void => {
    current.value = { action, total: ids.length, done, rejected: [...rejected], left: isOver ? waiting : [], isOver };
  };
  const work = async (): Promise<void> => {
    while (!stopping && waiting.length) {
      const id = waiting.shift()!;
      try {
        await send(action, id);
        done += 1;
      } catch (error) {
        const isAnswer = error instanceof ApiError;
        rejected.push({ id, message: (error as Error).message });
        if (!isAnswer) stopping = true;
      }
      show(false);
    }
  };
  show(false);
  await Promise.all(Array.from({ length: CONCURRENT }, work));
  show(true);
  return [...rejected.map((one) => one.id), ...waiting];
}

async function send(action: Action, id: string): Promise<void> {
  const path = `/v1/jobs/${id}`;
  try {
    if (action.name === "cancel") await call("POST", `${path}/cancel`);
    else if (action.name === "delete") await call("DELETE", path);
    else
      await call("PATCH", path, {
        body: action.name === "label" ? { labels: action.labels } : { archived: action.archived },
      });
  } catch (error) {
    const isGone = action.name === "delete" && error instanceof ApiError && error.status === 404;
    if (!isGone) throw error;
  }
}
