// One page of the job list. The server looks through a bounded number of jobs for what no index answers; this asks on until
// the page is full.
import { get, type components, type Job, withQuery } from "../../api";

type JobPage = components["schemas"]["JobPage"];

/** Requests for one page; beyond them the reader decides. */
const MOST_REQUESTS = 20;

export interface Found {
  data: Job[];
  has_more: boolean;
  cursor: string | null;
  /** Jobs looked through; 0 where an index answered. */
  searched: number;
}

export interface Filters {
  search: string;
  status: string[];
  label: string;
  cursor: string | null;
}

/** Read a page; `onPart` is given what is there after each request that leaves the page unfilled. */
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
