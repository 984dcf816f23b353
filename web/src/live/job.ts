// Keeps one job's store up to date: from the event stream while it is open, otherwise by polling. The store keeps its content
// while the server is unreachable.
import { computed, effect, signal } from "@preact/signals";
import { ApiError, isFinal, Unreachable } from "../api";
import { language } from "../preferences";
import { JobReader } from "./reader";
import { JobStore } from "./store";
import { JobStream } from "./stream";

/**
 * How the job is kept up to date. Every state except `resting` and `closed` also refreshes the store with periodic requests.
 *
 *     polling -> opening -> streaming   after a refresh, if the page is visible and the last stream ended some time ago
 *     opening, streaming -> polling     the stream ended or missed points, or the page was hidden
 *     any -> resting                    the job has ended or does not exist; an action by the reader refreshes it
 *     any -> closed                     the reader has left the page
 */
type State =
  | { name: "polling" }
  | { name: "opening"; stream: JobStream }
  | { name: "streaming"; stream: JobStream }
  | { name: "resting" }
  | { name: "closed" };

/** Only one refresh runs at a time. If another one is requested in the meantime, it runs afterwards, because the first may have read an older state. */
type Refresh = { name: "idle" } | { name: "running" } | { name: "running, then again" };

const POLL_SECONDS = 1;
const MIN_POLL_SECONDS = 0.5;
const PAUSED_POLL_SECONDS = 5;
const RETRY_SECONDS = 2;
/** How often to check whether the stream has missed points, because a connection can break unnoticed. */
const CHECK_STREAM_SECONDS = 15;
const REOPEN_STREAM_SECONDS = 10;
const HIDDEN_FACTOR = 10;

export class LiveJob {
  readonly store: JobStore;
  private readonly state = signal<State>({ name: "polling" });
  /** The source of new points. */
  readonly source = computed(() => (this.state.value.name === "streaming" ? "stream" : "polls"));

  private readonly reader: JobReader;
  private running: Refresh = { name: "idle" };
  private timer: number | undefined;
  /** Whether a refresh has been requested and is about to start; a refresh that ends in the meantime must not postpone it. */
  private isDue = false;
  private streamNotBefore = 0;
  private readonly stopEffects: () => void;
  private readonly onVisible = (): void => {
    if (document.visibilityState === "hidden") this.closeStream();
    else this.refreshIn(0);
  };

  constructor(readonly id: string) {
    this.store = new JobStore(id);
    this.reader = new JobReader(this.store);
    document.addEventListener("visibilitychange", this.onVisible);
    let first = true;
    this.stopEffects = effect(() => {
      language.value; // subscribe: the server's messages must be read again in the new language
      if (!first) void this.reloadTexts();
      first = false;
    });
    this.refreshIn(0);
  }

  close(): void {
    this.enter({ name: "closed" });
    clearTimeout(this.timer);
    this.stopEffects();
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  /** Read the job again immediately, after an action by the reader. */
  refresh(): void {
    this.refreshIn(0);
  }

  private get stream(): JobStream | null {
    const state = this.state.peek();
    return "stream" in state ? state.stream : null;
  }

  private get isClosed(): boolean {
    return this.state.peek().name === "closed";
  }

  private enter(state: State): void {
    const { stream } = this;
    if (stream && !("stream" in state && state.stream === stream)) {
      stream.close();
      this.streamNotBefore = Date.now() + REOPEN_STREAM_SECONDS * 1000;
    }
    this.state.value = state;
  }

  private refreshIn(seconds: number): void {
    clearTimeout(this.timer);
    this.isDue = seconds === 0;
    if (!this.isClosed) this.timer = window.setTimeout(() => void this.refreshNow(), seconds * 1000);
  }

  private async refreshNow(): Promise<void> {
    if (this.isClosed) return;
    this.isDue = false;
    if (this.running.name !== "idle") {
      this.running = { name: "running, then again" };
      return;
    }
    this.running = { name: "running" };
    let wait: number | null;
    let again: boolean;
    try {
      wait = await this.catchUp();
    } finally {
      again = (this.running as Refresh).name === "running, then again";
      this.running = { name: "idle" };
    }
    if (this.isClosed) return;
    if (again || this.isDue) this.refreshIn(0);
    else if (wait === null) this.enter({ name: "resting" });
    else this.scheduleNext(wait);
  }

  /** Read all new data. Return the seconds until the next refresh, or null if the job will not change. */
  private async catchUp(): Promise<number | null> {
    try {
      const job = await this.reader.readJob();
      if (job === null) return this.noteMissing();
      if (this.stream && !this.stream.takeHadPoints() && job.progress.step > this.store.lastStep) this.closeStream();
      const wait = await this.reader.catchUp(job, this.stream === null);
      if (isFinal(job)) return null;
      return job.status === "paused" ? PAUSED_POLL_SECONDS : (wait ?? POLL_SECONDS);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return this.noteMissing();
      if (!(error instanceof Unreachable || error instanceof ApiError)) throw error;
      this.closeStream();
      return RETRY_SECONDS;
    }
  }

  private noteMissing(): null {
    this.store.missing.value = true;
    return null;
  }

  /** Schedule the next refresh, and open a stream if the page is visible and the last one ended some time ago. */
  private scheduleNext(wait: number): void {
    if (document.visibilityState === "hidden") return this.refreshIn(wait * HIDDEN_FACTOR);
    if (!this.stream) {
      if (Date.now() >= this.streamNotBefore) this.openStream();
      else this.enter({ name: "polling" });
    }
    this.refreshIn(this.stream ? CHECK_STREAM_SECONDS : Math.max(wait, MIN_POLL_SECONDS));
  }

  private openStream(): void {
    const { store, reader } = this;
    const stream = new JobStream(this.id, store.pointsCursor, {
      onOpen: () => this.enter({ name: "streaming", stream }),
      onStatus: (frame) => {
        const previous = store.job.value;
        store.mergeStatus(frame);
        if (frame.status !== previous?.status || frame.attempt !== previous?.attempt) this.refreshIn(0);
      },
      onPoints: (series, cursor) => {
        store.addPoints(series, cursor);
        if (store.isTooLong) this.fallBack();
      },
      onRewind: (toStep) => store.rewind(toStep),
      onEvent: () => void reader.readNews().catch(() => this.refreshIn(1)),
      onEnd: () => this.fallBack(),
    });
    this.enter({ name: "opening", stream });
  }

  /** Close the stream and poll immediately. */
  private fallBack(): void {
    this.closeStream();
    this.refreshIn(0);
  }

  private closeStream(): void {
    if (this.stream) this.enter({ name: "polling" });
  }

  private async reloadTexts(): Promise<void> {
    await this.reader.settle();
    this.store.dropTexts();
    this.fallBack();
  }
}
