// A job's events, newest first.
import { clock } from "../../format";
import type { JobStore } from "../../live/store";
import { Card } from "../../parts/controls";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";
import { sayState } from "../../texts/states";

export function Events({ store }: { store: JobStore }) {
  const events = store.events.value;
  const attempts = store.attempts.value;
  return (
    <Card
      title={say(JOB.events)}
      class="events-card"
      aside={attempts.length > 1 && <span class="note">{say(JOB.attempts_count, { n: attempts.length })}</span>}
    >
      {events.length === 0 && <p class="note">{say(JOB.no_events)}</p>}
      <ol class="events" tabIndex={0} aria-label={say(JOB.events)}>
        {[...events].reverse().map((event) => (
          <li key={event.id} class={event.level}>
            <time>{clock(event.at, true)}</time>
            <span>
              {event.code === "phase" && typeof event.data.phase === "string"
                ? say(JOB.phase, { phase: sayState(event.data.phase) })
                : event.message}
            </span>
          </li>
        ))}
      </ol>
    </Card>
  );
}
