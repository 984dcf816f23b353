// A variable that browser tests read. Only a build in the mode "probed" sets it (script/page --probed); the published build never
// does.
import type { Series } from "./history/curve";
import type { Range } from "./history/read";

interface Scales {
  x: [number, number];
  y: [number, number];
}

declare global {
  interface Window {
    /** The points that the job's loss chart is drawn from, and its zoom. */
    __stepline?: {
      series: Record<string, Series>;
      ghosts: Series[];
      range: Range | null;
      /** The shown range of each chart on the page, from top to bottom. */
      scales: Scales[];
    };
  }
}
