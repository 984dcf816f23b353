// The jobs that match the filters, one page of them, kept up to date.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { Away, Refused } from "../../api";
import { usePoll } from "../../parts/poll";
import { language } from "../../preferences";
import { type Found, readJobs } from "./read";

const PAGE = 25;
const POLL_MS = 2000;

/** Filters and page as written in the address. */
export interface JobsQuery {
  search: string;
  status: string;
  label: string;
  cursor: string | null;
}

/** The jobs that were shown last, so that the list appears at once when the reader returns. */
const seen = signal<{ key: string; page: Found } | null>(null);

/** Returns the jobs (until they are read, those of the previous filters) and the server's message if it rejects the filters. */
export function useJobs(asked: JobsQuery): { page: Found | null; problem: string } {
  const key = JSON.stringify([asked, language.value]);
  const [problem, setProblem] = useState("");
  usePoll(
    async (isCurrent) => {
      const isNew = seen.value?.key !== key;
      const show = (page: Found): boolean => {
        if (isCurrent()) seen.value = { key, page };
        return isCurrent();
      };
      try {
        const status = asked.status ? asked.status.split(",") : [];
        const page = await readJobs({ ...asked, status }, PAGE, (part) => (isNew ? show(part) : isCurrent()));
        if (!show(page)) return null;
        setProblem("");
        if (page.searched > PAGE * 100) return POLL_MS * 10; // a long search costs the server too much to repeat often
      } catch (error) {
        if (error instanceof Refused) setProblem(error.message);
        else if (!(error instanceof Away)) throw error;
      }
      return POLL_MS;
    },
    [key],
  );
  const held = seen.value;
  return { page: held && (held.key === key || held.page.data.length) ? held.page : null, problem };
}
