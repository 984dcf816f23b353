// A bell that turns notifications about a job on or off, and the message after a click on it.
import { useEffect } from "preact/hooks";
import { isFinal, type Job } from "../api";
import { isWatched, toast, toggleWatch } from "../live/watch";
import { say } from "../texts/say";
import { WATCH } from "../texts/watch";

const SHOWN_MS = 8000;

export function Bell({ job }: { job: Job }) {
  if (isFinal(job)) return null;
  const isOn = isWatched(job.id);
  const text = say(isOn ? WATCH.stop : WATCH.start, { name: job.name ?? job.id });
  return (
    <button
      type="button"
      class="plain bell"
      aria-pressed={isOn}
      aria-label={text}
      title={text}
      onClick={() => void toggleWatch(job)}
    >
      <svg viewBox="0 0 16 16" aria-hidden="true">
        <path d="M8 2a4 4 0 0 0-4 4v3l-1.3 2.4h10.6L12 9V6a4 4 0 0 0-4-4zM6.5 13.4a1.6 1.6 0 0 0 3 0" />
      </svg>
    </button>
  );
}

export function Toast() {
  useEffect(() => {
    if (!toast.value) return;
    const timer = setTimeout(() => (toast.value = ""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [toast.value]);
  return (
    <p class={toast.value ? "toast" : "hidden"} role="status">
      {toast.value}
    </p>
  );
}
