// What tests read in a browser: only a build in the mode "probed" sets it (script/page --probed), never the published one.
import type { Series } from "./curve";
import type { Range } from "./history";

declare global {
  interface Window {
    /** The points that the job's loss chart is drawn from, and its zoom. */
    __stepline?: { series: Record<string, Series>; ghosts: Series[]; range: Range | null };
  }
}
