// Ranges and tick positions of a chart's axes. Charts on the page and saved pictures use the same ones.

/** Positions of the ticks, ascending, and the smallest distance between two of them. */
export interface Ticks {
  at: number[];
  increment: number;
}

const PADDING = 0.08;
const DAY = 86_400;
const CLOCK_INCREMENTS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY];
/** On a narrower logarithmic range (largest divided by smallest value), ticks at equal distances are easier to read. */
const NARROW = 12;

/** Return at most about `most` ticks at multiples of 1, 2, 2.5 or 5 times a power of ten; at whole numbers if `isWhole`. */
export function linearTicks(min: number, max: number, most: number, isWhole = false): Ticks {
  const rough = (max - min) / Math.max(1, most);
  if (!(rough > 0)) return { at: [min], increment: 1 };
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 2.5, 5, 10].find(
    (one) => one * power >= rough * 0.999 && !(isWhole && one === 2.5 && power < 10),
  )!;
  return multiples(min, max, isWhole ? Math.max(1, factor * power) : factor * power);
}

/** Return ticks at round durations; the values are seconds. */
export function clockTicks(min: number, max: number, most: number): Ticks {
  const rough = (max - min) / Math.max(1, most);
  const found = CLOCK_INCREMENTS.find((one) => one >= rough);
  if (found !== undefined && rough > 0.5) return multiples(min, max, found);
  if (rough <= 0.5) return linearTicks(min, max, most);
  const days = linearTicks(min / DAY, max / DAY, most, true);
  return { at: days.at.map((one) => one * DAY), increment: days.increment * DAY };
}

/** Return ticks at multiples of a power of two; the values are bytes. */
export function byteTicks(min: number, max: number, most: number): Ticks {
  const rough = Math.max(1, (max - min) / Math.max(1, most));
  return multiples(min, max, 2 ** Math.ceil(Math.log2(rough)));
}

/** Return ticks for a logarithmic axis: at equal distances in a narrow range, otherwise 1, 2 and 5 times each power of ten. */
export function logTicks(min: number, max: number, most: number): Ticks {
  if (max / min < NARROW) {
    const { at, increment } = linearTicks(min, max, most);
    return { at: at.filter((one) => one > 0), increment };
  }
  const [first, last] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const decades = last - first;
  const factors = decades * 3 <= most * 1.5 ? [1, 2, 5] : [1];
  const every = Math.max(1, Math.ceil((decades * factors.length) / (most * 1.5)));
  const at: number[] = [];
  for (let power = first; power <= last; power += every)
    at.push(...factors.map((factor) => Number(`${factor}e${power}`)).filter((one) => one >= min && one <= max));
  return { at, increment: min };
}

function multiples(min: number, max: number, increment: number): Ticks {
  const at: number[] = [];
  const digits = Math.max(0, 2 - Math.floor(Math.log10(increment)));
  for (let n = Math.ceil(min / increment - 1e-9); n * increment <= max + increment * 1e-9; n += 1)
    at.push(digits > 20 ? n * increment : Number((n * increment).toFixed(digits)));
  return { at, increment };
}

/** Widen a range by a share of its length; on a logarithmic scale, of its length in decades. */
export function padded([min, max]: [number, number], isLog: boolean): [number, number] {
  if (isLog) {
    const factor = max > min ? (max / min) ** PADDING : 1.25;
    return [min / factor, max * factor];
  }
  const by = max > min ? (max - min) * PADDING : Math.abs(min) * 0.1 || 1;
  // Values that are never negative, such as losses, do not get an axis below 0.
  return [min >= 0 ? Math.max(0, min - by) : min - by, max + by];
}
