// Fills the store of one job with requests: first everything, then only new data. The caller decides when to read, and handles
// failed requests.
import { type Artifact, type Attempt, type Event, get, type Job, type List, type Summary, withQuery } from "../api";
import { readCurve, readNewPoints } from "../history";
import type { JobStore } from "./store";

/** Codes of the events that change a job's attempts or files. */
const CHANGES_REST = /^(attempt|artifact|job)_/;

export class JobReader {
  /** The last request for events. Requests run one after another, so that no event is added twice. */
  private readingEvents: Promise<void> = Promise.resolve();
  /** The job's status and attempt when its attempts, files and summary were last read; empty if they have changed since. */
  private restKey = "";
  /** Number of times that they have been read. */
  private restReads = 0;

  /** The first points and events, which are read together with the job; null once they have been used. */
  private first: Promise<[number | null, void]> | null = null;

  constructor(private readonly store: JobStore) {}

  /** Read the job. The first time, its points and events are requested at once too, so that its page opens sooner. */
  readJob(): Promise<Job> {
    if (this.store.job.value === null) {
      this.first = Promise.all([this.readPoints(), this.readEvents()]);
      this.first.catch(() => undefined); // if the job cannot be read, this promise is never awaited
    }
    return get<Job>(`/v1/jobs/${this.store.id}`);
  }

  /**
   * Read the rest of a job: new points (`withPoints`; not needed while a stream delivers them), events, attempts and files.
   * Return the seconds until the server expects new points, or null if it does not provide them.
   */
  async catchUp(job: Job, withPoints: boolean): Promise<number | null> {
    const { store } = this;
    let wait: number | null;
    if (store.job.value === null) {
      // Read everything before showing the job, so that the layout does not shift.
      const first = this.first ?? Promise.all([this.readPoints(), this.readEvents()]);
      this.first = null;
      [[wait]] = await Promise.all([first, this.readRest(job)]);
      store.job.value = job;
    } else {
      wait = withPoints ? await this.readPoints() : null;
      store.job.value = job;
      await this.readEvents();
      await this.readRest(job);
    }
    return wait;
  }

  /** Read the new events after any pending read has ended. */
  readEvents(): Promise<void> {
    this.readingEvents = this.readingEvents.catch(() => undefined).then(() => this.readNewEvents());
    return this.readingEvents;
  }

  /** Wait until no events are being read, then read again everything that contains text from the server. */
  async settle(): Promise<void> {
    await this.readingEvents.catch(() => undefined);
    this.restKey = "";
  }

  private async readPoints(): Promise<number | null> {
    const { store } = this;
    if (store.pointsCursor === null || store.isTooLong) {
      const { curve, cursor } = await readCurve(store.id);
      store.putCurve(curve, cursor);
      return null;
    }
    const added = await readNewPoints(store.id, store.curve.value, store.pointsCursor);
    store.pointsCursor = added.cursor;
    if (added.changed) store.drawn.value += 1;
    return added.waitSeconds;
  }

  private async readNewEvents(): Promise<void> {
    const { store } = this;
    for (;;) {
      const page = await get<List<Event>>(
        withQuery(`/v1/jobs/${store.id}/events`, { cursor: store.eventsCursor, limit: 1000 }),
      );
      store.addEvents(page.data, page.cursor);
      if (page.data.some((event) => CHANGES_REST.test(event.code))) this.restKey = "";
      if (!page.has_more) return;
    }
  }

  /** Read the new events, and the attempts and files if an event says that they have changed. */
  async readNews(): Promise<void> {
    await this.readEvents();
    if (this.restKey === "" && this.store.job.value !== null) await this.readRest(this.store.job.value);
  }

  /** Read the data that changes only with the job's status or attempt, or with an event that says so. */
  private async readRest(job: Job): Promise<void> {
    const key = `${job.status} ${job.attempt}`;
    if (this.restKey === key) return;
    this.restKey = key; // before the requests, because an event may report a change while they run
    try {
      await this.readRestNow(job);
    } catch (error) {
      this.restKey = "";
      throw error;
    }
  }

  private async readRestNow(job: Job): Promise<void> {
    const { store } = this;
    this.restReads += 1;
    const number = this.restReads;
    const [attempts, artifacts] = await Promise.all([
      get<List<Attempt>>(`/v1/jobs/${store.id}/attempts`),
      get<List<Artifact>>(`/v1/jobs/${store.id}/artifacts`),
    ]);
    const summary = job.status === "succeeded" ? await get<Summary>(`/v1/jobs/${store.id}/summary`) : null;
    if (number !== this.restReads) return; // a later read has newer data
    store.attempts.value = attempts.data;
    store.artifacts.value = artifacts.data;
    store.summary.value = summary;
  }
}
