// One job, kept up to date: by the event stream while it holds, else by polls; a reader that comes back is told only what
// is new. What was shown stays when the server is away.
import { effect, signal, type Signal } from "@preact/signals";
import {
  type Artifact,
  type Attempt,
  Away,
  type Event,
  get,
  isFinal,
  type Job,
  type List,
  Refused,
  type Summary,
  withQuery,
} from "./api";
import { Curve } from "./curve";
import { addColumns, type Columns, MAX_POINTS, readCurve, readNews } from "./history";
import { language } from "./preferences";
import { parse } from "./text";

const POLL_SECONDS = 1;
const STREAM_AGAIN_SECONDS = 10;

export type Source = "stream" | "polls" | "none";

export class LiveJob {
  readonly job = signal<Job | null>(null);
  readonly missing = signal(false);
  readonly curve: Signal<Curve> = signal(new Curve());
  /** Counts the changes of the curve, which is changed in place. */
  readonly drawn = signal(0);
  readonly events = signal<Event[]>([]);
  readonly attempts = signal<Attempt[]>([]);
  readonly artifacts = signal<Artifact[]>([]);
  readonly summary = signal<Summary | null>(null);
  readonly source = signal<Source>("none");

  private cursor: string | null = null;
  private eventCursor: string | null = null;
  private stream: EventSource | null = null;
  private streamNotBefore = 0;
  private timer: number | undefined;
  private stopped = false;
  private busy = false;
  private lookAgain = false;
  private frames = 0;
  private readingEvents: Promise<void> = Promise.resolve();
  private readonly stopEffects: () => void;
  private readonly onVisible = (): void => {
    if (document.visibilityState === "hidden") this.closeStream();
    else this.soon(0);
  };

  constructor(readonly id: string) {
    document.addEventListener("visibilitychange", this.onVisible);
    let first = true;
    this.stopEffects = effect(() => {
      language.value; // sentences of the server are worded again
      if (!first) void this.reword();
      first = false;
    });
    this.soon(0);
  }

  close(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.closeStream();
    this.stopEffects();
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  /** Look again at once, after an action of the reader. */
  refresh(): void {
    this.soon(0);
  }

  private soon(seconds: number): void {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = window.setTimeout(() => void this.look(), seconds * 1000);
  }

  /** Catch up by asking; then hand over to the stream, if it can be had. */
  private async look(): Promise<void> {
    if (this.stopped) return;
    if (this.busy) {
      this.lookAgain = true; // what is being read may be from before: it was asked for since
      return;
    }
    this.busy = true;
    let wait: number | null = POLL_SECONDS;
    try {
      wait = await this.catchUp();
    } catch (error) {
      if (error instanceof Refused && error.status === 404) {
        this.missing.value = true;
        wait = null;
      } else if (!(error instanceof Away || error instanceof Refused)) throw error;
      else {
        this.closeStream();
        wait = 2;
      }
    } finally {
      this.busy = false;
    }
    if (this.stopped) return;
    if (this.lookAgain) {
      this.lookAgain = false;
      return this.soon(0);
    }
    if (wait === null) return this.closeStream();
    if (document.visibilityState === "hidden") return this.soon(wait * 10);
    if (!this.stream && !this.missing.value && Date.now() >= this.streamNotBefore) this.openStream();
    this.soon(this.stream ? 15 : Math.max(wait, 0.5));
  }

  private async catchUp(): Promise<number | null> {
    const job = await get<Job>(`/v1/jobs/${this.id}`);
    const changedStatus = job.status !== this.job.value?.status || job.attempt !== this.job.value?.attempt;
    if (this.stream && this.isStale(job)) this.closeStream();
    let wait: number | null;
    if (this.job.value === null) {
      // All of it before any is shown, so that nothing moves afterwards.
      [wait] = await Promise.all([this.readPoints(), this.readEvents(), this.readRest(job)]);
      this.job.value = job;
    } else {
      wait = await this.readPoints();
      this.job.value = job;
      await this.readEvents();
      if (changedStatus) await this.readRest(job);
    }
    if (isFinal(job) || job.status === "paused") return isFinal(job) ? null : 5;
    return wait ?? POLL_SECONDS;
  }

  /** Read the points that are missing; returns when to ask again. */
  private async readPoints(): Promise<number | null> {
    if (this.stream) return POLL_SECONDS; // frames bring the points
    if (this.cursor === null) {
      const { curve, cursor } = await readCurve(this.id);
      this.curve.value = curve;
      this.cursor = cursor;
      this.drawn.value += 1;
      return POLL_SECONDS;
    }
    const news = await readNews(this.id, this.curve.value, this.cursor);
    this.cursor = news.cursor;
    if (news.changed) this.onPoints();
    return news.waitSeconds;
  }

  /** Whether the job has gone on without the stream saying so: a connection can die without a word. */
  private isStale(job: Job): boolean {
    const silent = this.frames === 0;
    this.frames = 0;
    return silent && job.progress.step > (this.curve.value.of("loss").last()?.step ?? 0);
  }

  private readEvents(): Promise<void> {
    this.readingEvents = this.readingEvents.catch(() => undefined).then(() => this.readNewEvents());
    return this.readingEvents;
  }

  private async readNewEvents(): Promise<void> {
    for (;;) {
      const page = await get<List<Event>>(
        withQuery(`/v1/jobs/${this.id}/events`, { cursor: this.eventCursor, limit: 1000 }),
      );
      if (page.data.length) this.events.value = [...this.events.value, ...page.data];
      this.eventCursor = page.cursor;
      if (!page.has_more) return;
    }
  }

  private async readRest(job: Job): Promise<void> {
    const [attempts, artifacts] = await Promise.all([
      get<List<Attempt>>(`/v1/jobs/${this.id}/attempts`),
      get<List<Artifact>>(`/v1/jobs/${this.id}/artifacts`),
    ]);
    this.attempts.value = attempts.data;
    this.artifacts.value = artifacts.data;
    this.summary.value = job.status === "succeeded" ? await get<Summary>(`/v1/jobs/${this.id}/summary`) : null;
  }

  private async reword(): Promise<void> {
    await this.readingEvents.catch(() => undefined);
    this.events.value = [];
    this.eventCursor = null;
    this.job.value = this.job.value && { ...this.job.value };
    this.closeStream();
    this.soon(0);
  }

  /** The curve has grown; once it holds far more points than a plot shows, it is read again, thinned. */
  private onPoints(): void {
    this.drawn.value += 1;
    const loss = this.curve.value.of("loss");
    if (loss.length > 2 * MAX_POINTS + 1000) {
      this.cursor = null;
      this.closeStream();
      this.soon(0);
    }
  }

  private openStream(): void {
    const stream = new EventSource(withQuery(`/v1/jobs/${this.id}/stream`, { since: this.cursor }));
    this.stream = stream;
    this.frames = 1;
    const opening = window.setTimeout(() => stream === this.stream && this.source.value !== "stream" && fall(), 5000);
    const fall = (): void => {
      clearTimeout(opening);
      if (stream !== this.stream) return;
      this.closeStream();
      this.soon(0);
    };
    const on = (name: string, handle: (data: never) => void): void =>
      stream.addEventListener(name, (event) => {
        if (stream !== this.stream) return;
        handle(parse<never>((event as MessageEvent<string>).data));
      });
    stream.addEventListener("open", () => stream === this.stream && (this.source.value = "stream"));
    stream.addEventListener("error", fall);
    on("status", (job: Partial<Job>) => {
      const held = this.job.value;
      if (held) this.job.value = { ...held, ...job, error: held.error };
      if (job.status !== held?.status || job.attempt !== held?.attempt) this.soon(0);
    });
    on("metrics", (frame: { series: Record<string, Columns>; cursor: string }) => {
      this.cursor = frame.cursor;
      this.frames += 1;
      if (addColumns(this.curve.value, frame.series)) this.onPoints();
    });
    on("rewind", (frame: { rewind_to_step: number }) => {
      this.curve.value.rewind(frame.rewind_to_step);
      this.onPoints();
    });
    on("event", () => void this.readEvents().catch(() => this.soon(1)));
    on("dropped", fall);
    on("done", fall);
  }

  private closeStream(): void {
    if (this.stream) this.streamNotBefore = Date.now() + STREAM_AGAIN_SECONDS * 1000;
    this.stream?.close();
    this.stream = null;
    this.source.value = this.stopped ? "none" : "polls";
  }
}
