// Fills the store of one job by requests: everything at first, then only what is new. The caller decides when to read, and
// handles requests that fail.
import { type Artifact, type Attempt, type Event, get, type Job, type List, type Summary, withQuery } from "../api";
import { readCurve, readNews } from "../history";
import type { JobStore } from "./store";

export class JobReader {
  /** The last reading of events. They are read one after the other, so that none is added twice. */
  private readingEvents: Promise<void> = Promise.resolve();
  /** Status and attempt for which attempts, files and summary were read. */
  private restIsOf = "";

  constructor(private readonly store: JobStore) {}

  readJob(): Promise<Job> {
    return get<Job>(`/v1/jobs/${this.store.id}`);
  }

  /**
   * Read the rest of a job: new points (not needed while a stream delivers them), events, attempts and files. Returns the
   * seconds until the server expects new points, null if it does not say.
   */
  async catchUp(job: Job, withPoints: boolean): Promise<number | null> {
    const { store } = this;
    let wait: number | null;
    if (store.job.value === null) {
      // Everything is read before any of it is shown, so that nothing moves afterwards.
      [wait] = await Promise.all([this.readPoints(), this.readEvents(), this.readRest(job)]);
      store.job.value = job;
    } else {
      wait = withPoints ? await this.readPoints() : null;
      store.job.value = job;
      await this.readEvents();
      await this.readRest(job);
    }
    return wait;
  }

  /** Read the new events, after any reading that has begun. */
  readEvents(): Promise<void> {
    this.readingEvents = this.readingEvents.catch(() => undefined).then(() => this.readNewEvents());
    return this.readingEvents;
  }

  /** Wait until no events are being read. */
  async settle(): Promise<void> {
    await this.readingEvents.catch(() => undefined);
  }

  private async readPoints(): Promise<number | null> {
    const { store } = this;
    if (store.pointsCursor === null || store.isTooLong) {
      const { curve, cursor } = await readCurve(store.id);
      store.putCurve(curve, cursor);
      return null;
    }
    const news = await readNews(store.id, store.curve.value, store.pointsCursor);
    store.pointsCursor = news.cursor;
    if (news.changed) store.drawn.value += 1;
    return news.waitSeconds;
  }

  private async readNewEvents(): Promise<void> {
    const { store } = this;
    for (;;) {
      const page = await get<List<Event>>(
        withQuery(`/v1/jobs/${store.id}/events`, { cursor: store.eventsCursor, limit: 1000 }),
      );
      store.addEvents(page.data, page.cursor);
      if (!page.has_more) return;
    }
  }

  /** Read what changes only with the job's status or attempt. */
  private async readRest(job: Job): Promise<void> {
    const { store } = this;
    const key = `${job.status} ${job.attempt}`;
    if (this.restIsOf === key) return;
    const [attempts, artifacts] = await Promise.all([
      get<List<Attempt>>(`/v1/jobs/${store.id}/attempts`),
      get<List<Artifact>>(`/v1/jobs/${store.id}/artifacts`),
    ]);
    store.attempts.value = attempts.data;
    store.artifacts.value = artifacts.data;
    store.summary.value = job.status === "succeeded" ? await get<Summary>(`/v1/jobs/${store.id}/summary`) : null;
    this.restIsOf = key;
  }
}
