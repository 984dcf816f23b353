// Small components that several pages use: status, progress, cards, buttons that copy or ask for confirmation, keyboard shortcuts.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Job } from "../api";
import type { Value } from "../history/curve";
import { count } from "../format";
import { say } from "../texts/say";
import { SHARED } from "../texts/shared";
import { sayState } from "../texts/states";

type StatusFields = Pick<
  Job,
  "status" | "phase" | "cancel_requested_at" | "unreachable" | "queue_position" | "queue_position_above"
>;

/** Status and phase together, so that a job that is still evaluating at its last step does not look finished. */
export function Status({ job }: { job: StatusFields }) {
  const running = job.status === "running";
  const pending = running && job.cancel_requested_at ? "cancelling" : pausing(job) ? "pausing" : null;
  const detail = running
    ? job.unreachable
      ? sayState("unreachable")
      : (pending && sayState(pending)) || (job.phase && job.phase !== "training" ? sayState(job.phase) : null)
    : job.status === "queued" && job.queue_position
      ? say(SHARED.queue_place, { n: count(job.queue_position) })
      : job.status === "queued" && job.queue_position_above
        ? say(SHARED.queue_place_above, { n: count(job.queue_position_above) })
        : null;
  return (
    <span class={`status ${job.status}${job.unreachable ? " unreachable" : ""}`}>
      <i aria-hidden="true" />
      {sayState(job.status)}
      {detail && <small> · {detail}</small>}
    </span>
  );
}

function pausing(job: StatusFields): boolean {
  return job.status === "running" && Boolean((job as { pause_requested_at?: string | null }).pause_requested_at);
}

export function CopyButton({ text, children }: { text: () => string | Promise<string>; children: ComponentChildren }) {
  const [done, setDone] = useState(false);
  const copy = async (): Promise<void> => {
    await putOnClipboard(await text());
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" onClick={() => void copy()}>
      <span aria-live="polite">{done ? `✓ ${say(SHARED.copied)}` : children}</span>
    </button>
  );
}

async function putOnClipboard(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers provide the clipboard API only on https and localhost. This deprecated method also works over plain http.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

interface AskProps {
  question: string;
  action: () => Promise<unknown>;
  children: string;
  /** The text of the button that runs the action; by default, that of the button that opens the dialog. */
  confirm?: string;
  /** The text of the button that closes the dialog and changes nothing. */
  keep?: string;
  kind?: "danger" | "primary";
}

/** A button that asks for confirmation, and shows the error message if the action fails. */
export function AskButton({ question, action, children, confirm, keep, kind }: AskProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const act = async (): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      await action();
      dialog.current?.close();
    } catch (error) {
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" class={kind} onClick={() => dialog.current?.showModal()}>
        {children}
      </button>
      <dialog ref={dialog} aria-label={children}>
        <p>{question}</p>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="row end">
          <button type="button" onClick={() => dialog.current?.close()}>
            {keep ?? say(SHARED.no)}
          </button>
          <button type="button" class={kind ?? "primary"} disabled={busy} onClick={() => void act()}>
            {confirm ?? children}
          </button>
        </div>
      </dialog>
    </>
  );
}

/** A small chart of the loss trend. */
export function Sparkline({ values }: { values: Value[] }) {
  const finite = values.filter((one): one is number => one !== null);
  if (finite.length < 2) return <span class="spark" />;
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const points = finite.map((one, at) => {
    const x = (at / (finite.length - 1)) * 98 + 1;
    const y = 22 - ((one - low) / (high - low || 1)) * 20;
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={say(SHARED.loss_trend)}>
      <polyline points={points.join(" ")} />
    </svg>
  );
}

/** What is being done, in words and as a bar; without `share`, the bar is indeterminate. */
export function Doing({ text, share }: { text: string; share: number | undefined }) {
  return (
    <>
      <p class="note" role="status">
        {text}
      </p>
      <progress value={share} aria-label={text} />
    </>
  );
}

export function Progress({ job }: { job: Pick<Job, "progress" | "status"> }) {
  // A job that stopped early has reached its end too.
  const percent = job.status === "succeeded" ? 100 : (job.progress.percent ?? 0);
  return (
    <progress class={job.status} max={100} value={percent} aria-label={say(SHARED.progress)}>
      {percent.toFixed(0)}%
    </progress>
  );
}

export function Card({
  title,
  aside,
  children,
  class: name,
}: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}) {
  return (
    <section class={`card ${name ?? ""}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        {aside && <div class="row">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** A setting's dotted path; lines break only after a dot or an underscore. */
export function Path({ of }: { of: string }) {
  return <>{of.split(/(?<=[._])/).flatMap((part) => [part, <wbr />])}</>;
}

/** Return the current time; while `isOn`, render the component again every second. */
export function useClock(isOn: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!isOn) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [isOn]);
  return now;
}

/** Return false in the first render, and true once that has been drawn: for parts that are initially out of view. */
export function useDrawn(): boolean {
  const [isDrawn, setDrawn] = useState(false);
  useEffect(() => setDrawn(true), []);
  return isDrawn;
}

type KeyHandler = (event: KeyboardEvent) => void;

/** Keyboard shortcuts of a page. They are ignored while the reader is typing or a dialog is open. */
export function useKeys(keys: Record<string, KeyHandler>): void {
  const held = useRef(keys);
  held.current = keys;
  // A layout effect, because a plain effect would miss a key pressed before the next frame.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const target = event.target as HTMLElement;
      if (target.matches("input:not([type=checkbox],[type=range]), textarea, select")) return;
      if (event.key === "Enter" && target.closest("a, button, summary")) return; // Enter activates the focused element
      const handle = held.current[event.key];
      if (!handle) return;
      event.preventDefault();
      handle(event);
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** Return an event handler that calls `use` with the field's text. */
export const onText =
  (use: (text: string) => void) =>
  (event: { currentTarget: Field }): void =>
    use(event.currentTarget.value);
