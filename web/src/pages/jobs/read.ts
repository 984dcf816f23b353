// Reads one page of jobs. If no index supports a search, the server searches a limited number of jobs per request, so the
// request is repeated until the page is full.
import { get, type components, type Job, type JobName, withQuery } from "../../api";

type JobPage = components["schemas"]["JobPage"];
export type JobCounts = components["schemas"]["JobCounts"];

/** Maximum number of requests for one page; after that, the reader decides whether to continue the search. */
const MAX_REQUESTS = 20;
/** Maximum number of jobs per request. */
const MAX_LIMIT = 100;

export interface Found {
  data: Job[];
  has_more: boolean;
  cursor: string | null;
  /** Number of jobs searched; 0 if an index was used. */
  searched: number;
  counts: JobCounts | null;
}

export interface Filters {
  search: string;
  status: string[];
  label: string;
  archived: string;
  sort: string;
  cursor: string | null;
}

/** Read a page. `onPart` receives the jobs so far after each request that did not fill the page, and returns whether to continue. */
export async function readJobs(filters: Filters, limit: number, onPart: (part: Found) => boolean): Promise<Found> {
  let found: Found = { data: [], has_more: true, cursor: filters.cursor, searched: 0, counts: null };
  for (let request = 0; request < MAX_REQUESTS; request += 1) {
    const page = await get<JobPage>(
      withQuery("/v1/jobs", {
        ...filters,
        cursor: found.cursor,
        limit: Math.min(MAX_LIMIT, limit - found.data.length),
        counts: request === 0 ? "true" : null,
      }),
    );
    found = {
      data: [...found.data, ...page.data],
      has_more: page.has_more,
      cursor: page.cursor,
      searched: found.searched + (page.searched ?? 0),
      counts: found.counts ?? page.counts ?? null,
    };
    if (!page.has_more || found.data.length >= limit || !onPart(found)) break;
  }
  return found;
}

/** Read the ids and names of at most `limit` jobs of all pages. */
export async function readNames(filters: Omit<Filters, "cursor">, limit: number): Promise<JobName[]> {
  const names: JobName[] = [];
  let cursor: string | null = null;
  for (let request = 0; request < MAX_REQUESTS; request += 1) {
    const page: components["schemas"]["JobNamePage"] = await get(
      withQuery("/v1/job-names", { ...filters, cursor, limit: limit - names.length }),
    );
    names.push(...page.data);
    cursor = page.cursor;
    if (!page.has_more || names.length >= limit) break;
  }
  return names;
}
