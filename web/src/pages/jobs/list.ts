// One page of the jobs that match the filters, kept up to date.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { ApiError, Unreachable } from "../../api";
import { usePoll } from "../../parts/poll";
import { language } from "../../preferences";
import { pauseTrends } from "./loss-trend";
import { type Filters, type Found, readJobs } from "./read";

const PAGE = 25;
const POLL_MS = 2000;

/** The filters, the order and the page that the URL specifies. */
export interface JobsQuery {
  search: string;
  status: string;
  label: string;
  archived: string;
  sort: string;
  cursor: string | null;
}

/** The last jobs shown, so that the list appears immediately when the reader returns to it. */
const seen = signal<{ key: string; page: Found } | null>(null);
/** Incremented after an action on the list's jobs, to reload the list immediately. */
const revision = signal(0);

export function refreshJobs(): void {
  revision.value += 1;
}

export function filtersOf(query: JobsQuery): Filters {
  return { ...query, status: query.status ? query.status.split(",") : [], sort: query.sort || "status" };
}

/** Return the jobs (those of the previous filters until the new ones arrive), and the server's message if it rejects the filters. */
export function useJobs(filters: JobsQuery): { page: Found | null; problem: string } {
  const key = JSON.stringify([filters, language.value]);
  const [problem, setProblem] = useState("");
  usePoll(
    async (isCurrent) => {
      const isNew = seen.value?.key !== key;
      const show = (page: Found): boolean => {
        if (isCurrent()) seen.value = { key, page };
        return isCurrent();
      };
      const resume = pauseTrends();
      try {
        const page = await readJobs(filtersOf(filters), PAGE, (part) => (isNew ? show(part) : isCurrent()));
        if (!show(page)) return null;
        setProblem("");
        if (page.searched > PAGE * 100) return POLL_MS * 10; // a long search is too expensive to repeat often
      } catch (error) {
        if (error instanceof ApiError) setProblem(error.message);
        else if (!(error instanceof Unreachable)) throw error;
      } finally {
        resume();
      }
      return POLL_MS;
    },
    [key, revision.value],
  );
  const held = seen.value;
  return { page: held && (held.key === key || held.page.data.length) ? held.page : null, problem };
}
