// The data of a job's plot: series of (step, value) merged over all attempts. It is plain data, so a test can compare it with
// the API's response. A rewind moves the later points into a ghost.

export type Value = number | null; // null: not finite

export class Series {
  constructor(
    readonly step: number[] = [],
    readonly value: Value[] = [],
  ) {}

  get length(): number {
    return this.step.length;
  }

  /** Insert a point in step order; it replaces any point at the same step. */
  add(step: number, value: Value): void {
    let at = this.length;
    while (at > 0 && this.step[at - 1]! > step) at -= 1;
    if (at > 0 && this.step[at - 1] === step) {
      this.value[at - 1] = value;
      return;
    }
    this.step.splice(at, 0, step);
    this.value.splice(at, 0, value);
  }

  /** Remove the points after a step and return them. */
  cut(step: number): Series {
    let at = this.length;
    while (at > 0 && this.step[at - 1]! > step) at -= 1;
    return new Series(this.step.splice(at), this.value.splice(at));
  }

  /** Return the n-th point; null if there are fewer. */
  at(n: number): { step: number; value: Value } | null {
    return n < this.length ? { step: this.step[n]!, value: this.value[n]! } : null;
  }

  last(): { step: number; value: Value } | null {
    return this.length ? this.at(this.length - 1) : null;
  }

  /** Return the point nearest to a step; of two equally near ones, the earlier. */
  nearest(step: number): { step: number; value: Value } | null {
    let [low, high] = [0, this.length - 1];
    if (high < 0) return null;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.step[middle]! <= step) low = middle;
      else high = middle;
    }
    const at = step - this.step[low]! <= this.step[high]! - step ? low : high;
    return { step: this.step[at]!, value: this.value[at] ?? null };
  }

  lowest(): { step: number; value: number } | null {
    let found: { step: number; value: number } | null = null;
    this.value.forEach((value, at) => {
      if (value !== null && (found === null || value < found.value)) found = { step: this.step[at]!, value };
    });
    return found;
  }
}

export class Curve {
  readonly series = new Map<string, Series>();
  readonly ghosts: Series[] = [];
  /** Number of loss points on the server; the curve may have fewer. */
  total = 0;

  of(name: string): Series {
    let found = this.series.get(name);
    if (!found) this.series.set(name, (found = new Series()));
    return found;
  }

  put(name: string, step: number[], value: Value[]): void {
    this.series.set(name, new Series(step, value));
  }

  /** Remove every point after a step; keep the loss points as a ghost. */
  rewind(toStep: number): void {
    for (const [name, series] of this.series) {
      const removed = series.cut(toStep);
      if (name === "loss" && removed.length) {
        this.ghosts.push(removed);
        this.total -= removed.length;
      }
    }
  }
}

/** Return the exponential moving average, corrected for its bias towards 0 at the start. Weight 0 returns the series itself. */
export function smooth(series: Series, weight: number): Series {
  if (weight <= 0) return series;
  let sum = 0;
  let share = 0;
  const value = series.value.map((one) => {
    if (one === null) return null;
    sum = weight * sum + (1 - weight) * one;
    share = weight * share + (1 - weight);
    return sum / share;
  });
  return new Series(series.step, value);
}
