// Reads one page of jobs. Where no index serves a search, the server searches a bounded number of jobs per request;
// requests are repeated until the page is full.
import { get, type components, type Job, withQuery } from "../../api";

type JobPage = components["schemas"]["JobPage"];

/** Requests for one page; after them the reader decides whether to search on. */
const MOST_REQUESTS = 20;

export interface Found {
  data: Job[];
  has_more: boolean;
  cursor: string | null;
  /** Jobs searched; 0 if an index served the search. */
  searched: number;
}

export interface Filters {
  search: string;
  status: string[];
  label: string;
  cursor: string | null;
}

/** Read a page. `onPart` gets the jobs so far after each request that did not fill it, and returns whether to go on. */
export async function readJobs(filters: Filters, limit: number, onPart: (part: Found) => boolean): Promise<Found> {
  let found: Found = { data: [], has_more: true, cursor: filters.cursor, searched: 0 };
  for (let asked = 0; asked < MOST_REQUESTS; asked += 1) {
    const page = await get<JobPage>(
      withQuery("/v1/jobs", { ...filters, cursor: found.cursor, limit: limit - found.data.length }),
    );
    found = {
      data: [...found.data, ...page.data],
      has_more: page.has_more,
      cursor: page.cursor,
      searched: found.searched + (page.searched ?? 0),
    };
    if (!page.searched || !page.has_more || found.data.length >= limit || !onPart(found)) break;
  }
  return found;
}
