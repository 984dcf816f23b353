// Keeps one job's store up to date: by the event stream while there is one, else by polling. The store keeps its content
// while the server cannot be reached.
import { computed, effect, signal } from "@preact/signals";
import { Away, isFinal, Refused } from "../api";
import { language } from "../preferences";
import { JobReader } from "./reader";
import { JobStore } from "./store";
import { JobStream } from "./stream";

/**
 * How the job is kept up to date. Every state but `closed` refreshes the store by requests now and then.
 *
 *     polling -> opening -> streaming   after a refresh, if the page is visible and the last stream ended a while ago
 *     opening, streaming -> polling     the stream ended, missed points, or the page was hidden
 *     any -> resting                    the job has ended or does not exist; an action of the reader refreshes it
 *     any -> closed                     the reader has left the page
 */
type State =
  | { name: "polling" }
  | { name: "opening"; stream: JobStream }
  | { name: "streaming"; stream: JobStream }
  | { name: "resting" }
  | { name: "closed" };

/** One refresh runs at a time. If another is asked for meanwhile, it follows: the first may have read an older state. */
type Refresh = { name: "idle" } | { name: "running" } | { name: "running, then again" };

const POLL_SECONDS = 1;
const LEAST_POLL_SECONDS = 0.5;
const PAUSED_POLL_SECONDS = 5;
const RETRY_SECONDS = 2;
/** A connection can die silently: how often to check whether the stream has missed points. */
const CHECK_STREAM_SECONDS = 15;
const STREAM_AGAIN_SECONDS = 10;
const HIDDEN_FACTOR = 10;

export class LiveJob {
  readonly store: JobStore;
  private readonly state = signal<State>({ name: "polling" });
  /** Where new points come from. */
  readonly source = computed(() => (this.state.value.name === "streaming" ? "stream" : "polls"));

  private readonly reader: JobReader;
  private running: Refresh = { name: "idle" };
  private timer: number | undefined;
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
      language.value; // the server's sentences are read again in the new language
      if (!first) void this.reword();
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

  /** Read the job again at once, after an action of the reader. */
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
      this.streamNotBefore = Date.now() + STREAM_AGAIN_SECONDS * 1000;
    }
    this.state.value = state;
  }

  private refreshIn(seconds: number): void {
    clearTimeout(this.timer);
    if (!this.isClosed) this.timer = window.setTimeout(() => void this.refreshNow(), seconds * 1000);
  }

  private async refreshNow(): Promise<void> {
    if (this.isClosed) return;
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
    if (again) this.refreshIn(0);
    else if (wait === null) this.enter({ name: "resting" });
    else this.goOn(wait);
  }

  /** Read what is new. Returns the seconds until the next refresh, null if nothing more will come. */
  private async catchUp(): Promise<number | null> {
    try {
      const job = await this.reader.readJob();
      if (this.stream && !this.stream.takeHadPoints() && job.progress.step > this.store.lastStep) this.closeStream();
      const wait = await this.reader.catchUp(job, this.stream === null);
      if (isFinal(job)) return null;
      return job.status === "paused" ? PAUSED_POLL_SECONDS : (wait ?? POLL_SECONDS);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) {
        this.store.missing.value = true;
        return null;
      }
      if (!(error instanceof Away || error instanceof Refused)) throw error;
      this.closeStream();
      return RETRY_SECONDS;
    }
  }

  /** Schedule the next refresh, and open a stream if the page is visible and the last one ended a while ago. */
  private goOn(wait: number): void {
    if (document.visibilityState === "hidden") return this.refreshIn(wait * HIDDEN_FACTOR);
    if (!this.stream) {
      if (Date.now() >= this.streamNotBefore) this.openStream();
      else this.enter({ name: "polling" });
    }
    this.refreshIn(this.stream ? CHECK_STREAM_SECONDS : Math.max(wait, LEAST_POLL_SECONDS));
  }

  private openStream(): void {
    const { store, reader } = this;
    const stream = new JobStream(this.id, store.pointsCursor, {
      onOpen: () => this.enter({ name: "streaming", stream }),
      onStatus: (frame) => {
        const held = store.job.value;
        store.mergeStatus(frame);
        if (frame.status !== held?.status || frame.attempt !== held?.attempt) this.refreshIn(0);
      },
      onPoints: (series, cursor) => {
        store.addPoints(series, cursor);
        if (store.isTooLong) this.fallBack();
      },
      onRewind: (toStep) => store.rewind(toStep),
      onEvent: () => void reader.readEvents().catch(() => this.refreshIn(1)),
      onEnd: () => this.fallBack(),
    });
    this.enter({ name: "opening", stream });
  }

  /** Poll at once instead of waiting for the stream. */
  private fallBack(): void {
    this.closeStream();
    this.refreshIn(0);
  }

  private closeStream(): void {
    if (this.stream) this.enter({ name: "polling" });
  }

  private async reword(): Promise<void> {
    await this.reader.settle();
    this.store.dropSentences();
    this.fallBack();
  }
}
