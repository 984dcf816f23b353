// What the page knows of one job. The store only holds data: it sends no requests and starts no timers.
import { signal } from "@preact/signals";
import type { Artifact, Attempt, Event, Job, Summary } from "../api";
import { Curve } from "../curve";
import { addColumns, type Columns, MAX_POINTS } from "../history";

/** Points of the loss beyond which the run is read again, thinned: far more than a plot shows. */
const MOST_POINTS = 2 * MAX_POINTS + 1000;

export class JobStore {
  readonly job = signal<Job | null>(null);
  /** Whether the server has no such job. */
  readonly missing = signal(false);
  readonly curve = signal(new Curve());
  /** Counts the changes of the curve, which is changed in place. */
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
    return this.curve.value.of("loss").length > MOST_POINTS;
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

  /** Apply a status frame of the stream. Its error is in the browser's language, not the page's, so the old one is kept. */
  mergeStatus(frame: Partial<Job>): void {
    const held = this.job.value;
    if (held) this.job.value = { ...held, ...frame, error: held.error };
  }

  addEvents(events: Event[], cursor: string | null): void {
    if (events.length) this.events.value = [...this.events.value, ...events];
    this.eventsCursor = cursor;
  }

  /** Drop the server's sentences after a change of language. */
  dropSentences(): void {
    this.events.value = [];
    this.eventsCursor = null;
    this.job.value = this.job.value && { ...this.job.value };
  }
}
