// Reads one page of jobs. If no index supports a search, the server searches a limited number of jobs per request, so the
// request is repeated until the page is full.
import { get, type components, type Job, withQuery } from "../../api";

type JobPage = components["schemas"]["JobPage"];

/** Maximum number of requests for one page; after that, the reader decides whether to continue the search. */
const MAX_REQUESTS = 20;

export interface Found {
  data: Job[];
  has_more: boolean;
  cursor: string | null;
  /** Number of jobs searched; 0 if an index was used. */
  searched: number;
}

export interface Filters {
  search: string;
  status: string[];
  label: string;
  cursor: string | null;
}

/** Read a page. `onPart` gets the jobs so far after each request that did not fill the page, and returns whether to continue. */
export async function readJobs(filters: Filters, limit: number, onPart: (part: Found) => boolean): Promise<Found> {
  let found: Found = { data: [], has_more: true, cursor: filters.cursor, searched: 0 };
  for (let request = 0; request < MAX_REQUESTS; request += 1) {
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
