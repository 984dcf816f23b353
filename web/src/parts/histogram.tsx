// A histogram as a list of bars: the number of rows in each range of lengths.
import { count } from "../format";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";

interface Bin {
  /** The range. */
  name: string;
  rows: number;
}

export function Histogram({ title, bins }: { title: string; bins: Bin[] }) {
  const most = Math.max(...bins.map((bin) => bin.rows));
  return (
    <figure class="histogram">
      <figcaption>{title}</figcaption>
      <ol>
        {bins.map((bin) => (
          <li key={bin.name}>
            <span>{bin.name}</span>
            <i aria-hidden="true">
              <b style={{ width: `${((100 * bin.rows) / most).toFixed(1)}%` }} />
            </i>
            <span>{say(SHARED.bin_rows, { rows: count(bin.rows) })}</span>
          </li>
        ))}
      </ol>
    </figure>
  );
}
