// The event stream of one job: opens it once and parses its frames.
import { heard, type Job, withQuery } from "../api";
import type { Columns } from "../history/read";
import { parse } from "../text";

/** A stream that is not open after this time is closed, because a proxy may be buffering it. */
const OPENING_MS = 5000;

export interface StreamHandlers {
  onOpen: () => void;
  onStatus: (job: Partial<Job>) => void;
  onPoints: (series: Record<string, Columns>, cursor: string) => void;
  onRewind: (toStep: number) => void;
  onEvent: () => void;
  /** The stream could not be opened, broke, or was ended by the server. It is now closed, and no other handler is called. */
  onEnd: () => void;
}

export class JobStream {
  private readonly source: EventSource;
  private readonly opening: number;
  private closed = false;
  private hadPoints = true; // so that the first check does not close a stream that was just opened

  constructor(id: string, since: string | null, handlers: StreamHandlers) {
    this.source = new EventSource(withQuery(`/v1/jobs/${id}/stream`, { since }));
    const end = (): void => {
      if (this.closed) return;
      this.close();
      handlers.onEnd();
    };
    const on = (name: string, handle: (data: never) => void): void =>
      this.source.addEventListener(name, (event) => {
        if (this.closed) return;
        heard();
        handle(parse<never>((event as MessageEvent<string>).data));
      });
    this.opening = window.setTimeout(end, OPENING_MS);
    this.source.addEventListener("open", () => {
      clearTimeout(this.opening);
      if (!this.closed) handlers.onOpen();
    });
    this.source.addEventListener("error", end);
    on("status", handlers.onStatus);
    on("metrics", (frame: { series: Record<string, Columns>; cursor: string }) => {
      this.hadPoints = true;
      handlers.onPoints(frame.series, frame.cursor);
    });
    on("rewind", (frame: { rewind_to_step: number }) => handlers.onRewind(frame.rewind_to_step));
    on("event", handlers.onEvent);
    on("dropped", end);
    on("done", end);
  }

  /** Return whether points have arrived since the last call. */
  takeHadPoints(): boolean {
    const had = this.hadPoints;
    this.hadPoints = false;
    return had;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.opening);
    this.source.close();
  }
}
