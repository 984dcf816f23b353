// The page's data about one job. The store only holds data: it sends no requests and starts no timers.
import { signal } from "@preact/signals";
import type { Artifact, Attempt, Event, Job, Summary } from "../api";
import { Curve } from "../history/curve";
import { addColumns, type Columns, MAX_POINTS } from "../history/read";

/** If the curve has more loss points than this, far more than a plot shows, the run is read again, downsampled. */
const MAX_CURVE_POINTS = 2 * MAX_POINTS + 1000;

export class JobStore {
  readonly job = signal<Job | null>(null);
  /** Whether the job does not exist. */
  readonly missing = signal(false);
  readonly curve = signal(new Curve());
  /** Number of changes to the curve, which is modified in place. */
  readonly drawn = signal(0);
  readonly events = signal<Event[]>([]);
  readonly attempts = signal<Attempt[]>([]);
  readonly artifacts = signal<Artifact[]>([]);
  readonly summary = signal<Summary | null>(null);

  /** The cursor of the history after the points read so far; null before the first. */
  pointsCursor: string | null = null;
  /** The cursor of the events after those read so far; null before the first. */
  eventsCursor: string | null = null;

  constructor(readonly id: string) {}

  get lastStep(): number {
    return this.curve.value.of("loss").last()?.step ?? 0;
  }

  get isTooLong(): boolean {
    return this.curve.value.of("loss").length > MAX_CURVE_POINTS;
  }

  putCurve(curve: Curve, cursor: string): void {
    this.curve.value = curve;
    this.pointsCursor = cursor;
    this.drawn.value += 1;
  }

  addPoints(series: Record<string, Columns>, cursor: string): void {
    this.pointsCursor = cursor;
    if (addColumns(this.curve.value, series)) this.drawn.value += 1;
  }

  rewind(toStep: number): void {
    this.curve.value.rewind(toStep);
    this.drawn.value += 1;
  }

  /** Apply a status frame of the stream. Keep the previous error: the frame's error is in the browser's language, not the page's. */
  mergeStatus(frame: Partial<Job>): void {
    const previous = this.job.value;
    if (previous) this.job.value = { ...previous, ...frame, error: previous.error };
  }

  addEvents(events: Event[], cursor: string | null): void {
    if (events.length) this.events.value = [...this.events.value, ...events];
    this.eventsCursor = cursor;
  }

  /** Drop the server's messages after the language has changed. */
  dropTexts(): void {
    this.events.value = [];
    this.eventsCursor = null;
    this.job.value = this.job.value && { ...this.job.value };
  }
}
