// Fills the store of one job with requests: first everything, then only new data. The caller decides when to read, and handles
// failed requests.
import {
  type Artifact,
  type Attempt,
  type Event,
  get,
  isFinal,
  type Job,
  type List,
  type Summary,
  withQuery,
} from "../api";
import { readCurve, readNewPoints } from "../history/read";
import { takeKnownJob } from "./known";
import type { JobStore } from "./store";

/** The format of a job's id. No job has an id in another format. */
const JOB_ID = /^job_[0-9a-f]{24}$/;

/** Codes of the events that change a job's attempts or files. */
const CHANGES_REST = /^(attempt|artifact|job)_/;

/** The data that changes only with the job's status or attempt, or with an event that says so. */
interface Rest {
  attempts: Attempt[];
  artifacts: Artifact[];
  summary: Summary | null;
}

/** Find a job through the list, which returns an empty list instead of an error if there is no such job. */
async function findJob(id: string): Promise<Job | null> {
  if (!JOB_ID.test(id)) return null;
  const found = await get<List<Job>>(withQuery("/v1/jobs", { search: id, archived: "any", limit: 1 }));
  return found.data.find((job) => job.id === id) ?? null;
}

const keyOf = (job: Job): string => `${job.status} ${job.attempt}`;

export class JobReader {
  /** The last request for events. Requests run one after another, so that no event is added twice. */
  private readingEvents: Promise<void> = Promise.resolve();
  /** The job's status and attempt when its attempts, files and summary were last read; empty if they have changed since. */
  private restKey = "";
  /** Number of times that they have been read. */
  private restReads = 0;

  /** The job's status and attempt when everything about it was first requested. */
  private firstKey = "";
  /** Everything about the job, requested together with the job itself; null once it has been used. */
  private first: Promise<[number | null, void, Rest]> | null = null;

  constructor(private readonly store: JobStore) {}

  /**
   * Read the job; return null if it does not exist. The first time, everything else about it is requested in parallel, so that its page
   * opens sooner. A job that the list has not shown is looked up first, because the browser would log each failed request.
   */
  async readJob(): Promise<Job | null> {
    const { id } = this.store;
    if (this.store.job.value !== null) return get<Job>(`/v1/jobs/${id}`);
    const known = takeKnownJob(id);
    const job = known ?? (await findJob(id));
    if (job === null) return null;
    this.firstKey = keyOf(job);
    this.first = Promise.all([this.readPoints(), this.readEvents(), this.requestRest(job)]);
    this.first.catch(() => undefined); // if the job cannot be read, this promise is never awaited
    return known ? get<Job>(`/v1/jobs/${id}`) : job;
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
      const first = this.first ?? Promise.all([this.readPoints(), this.readEvents(), this.requestRest(job)]);
      this.first = null;
      const [seconds, , rest] = await first;
      wait = seconds;
      // If the job has ended since the requests were sent, its last files or its summary may be missing.
      if (isFinal(job) && keyOf(job) !== this.firstKey) await this.readRest(job);
      else this.putRest(rest);
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

  /** Read the rest, unless neither the job nor an event says that it has changed. */
  private async readRest(job: Job): Promise<void> {
    const key = keyOf(job);
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
    this.restReads += 1;
    const number = this.restReads;
    const rest = await this.requestRest(job);
    if (number === this.restReads) this.putRest(rest); // otherwise a later read has newer data
  }

  private async requestRest(job: Job): Promise<Rest> {
    const { id } = this.store;
    const [attempts, artifacts, summary] = await Promise.all([
      get<List<Attempt>>(`/v1/jobs/${id}/attempts`),
      get<List<Artifact>>(`/v1/jobs/${id}/artifacts`),
      job.status === "succeeded" ? get<Summary>(`/v1/jobs/${id}/summary`) : null,
    ]);
    return { attempts: attempts.data, artifacts: artifacts.data, summary };
  }

  private putRest({ attempts, artifacts, summary }: Rest): void {
    const { store } = this;
    store.attempts.value = attempts;
    store.artifacts.value = artifacts;
    store.summary.value = summary;
  }
}
