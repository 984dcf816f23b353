// Jobs that the user watches: while the site is open, a browser notification and the tab's title report when one of them
// ends or becomes unhealthy.
import { signal } from "@preact/signals";
import { ApiError, get, isFinal, type Job } from "../api";
import { go } from "../router";
import { sayFinding } from "../texts/job/health";
import { sayState } from "../texts/states";
import { say } from "../texts/say";
import { WATCH } from "../texts/watch";

const POLL_MS = 5000;
const STORED = "watched";

/** Codes of the health findings already reported, by job. */
type Watched = Record<string, string[]>;

function load(): Watched {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? "{}") as Watched;
  } catch {
    return {}; // the browser may block storage; jobs are then watched until the page is closed
  }
}

function save(to: Watched): void {
  watched.value = to;
  try {
    localStorage.setItem(STORED, JSON.stringify(to));
  } catch {
    // see load()
  }
}

const watched = signal<Watched>(load());
/** A message that explains the last click on a bell; "" after a while. */
export const toast = signal("");

export const isWatched = (id: string): boolean => Object.hasOwn(watched.value, id);

/** Start or stop watching a job. Asks for permission to show notifications; call it only from a click. */
export async function toggleWatch(job: Job): Promise<void> {
  if (isWatched(job.id)) {
    forget(job.id);
    toast.value = say(WATCH.stopped);
    return;
  }
  save({ ...watched.value, [job.id]: warnings(job).map((one) => one.code) });
  poll();
  if (!("Notification" in window) || !isSecureContext) toast.value = say(WATCH.only_title);
  else {
    const answer =
      Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
    toast.value = say(answer === "granted" ? WATCH.started : WATCH.blocked);
  }
}

function forget(id: string): void {
  const { [id]: _, ...others } = watched.value;
  save(others);
}

const warnings = (job: Job): NonNullable<Job["health"]> => (job.health ?? []).filter((one) => one.level !== "info");

let timer: number | undefined;

/** Read the watched jobs now, and again every few seconds while there are any. */
function poll(): void {
  clearTimeout(timer);
  const ids = Object.keys(watched.value);
  if (!ids.length) return;
  void Promise.all(ids.map(check)).finally(() => (timer = window.setTimeout(poll, POLL_MS)));
}

async function check(id: string): Promise<void> {
  let job: Job;
  try {
    job = await get<Job>(`/v1/jobs/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) forget(id);
    return;
  }
  if (!isWatched(id)) return;
  const name = job.name ?? job.id;
  const state = sayState(job.status);
  if (isFinal(job)) {
    forget(id);
    return announce(job, say(WATCH.ended, { name, state }), job.error?.message ?? "");
  }
  const known = watched.value[id]!;
  const found = warnings(job);
  const codes = found.map((one) => one.code);
  if (codes.join() !== known.join()) save({ ...watched.value, [id]: codes });
  const added = found.filter((one) => !known.includes(one.code));
  if (added.length) announce(job, say(WATCH.unhealthy, { name }), added.map((one) => sayFinding(one.code)).join(", "));
}

function announce(job: Job, title: string, body: string): void {
  dropNotice();
  notice = title;
  showNotice();
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const shown = new Notification(title, { body, tag: job.id });
  shown.onclick = () => {
    window.focus();
    go(`/jobs/${job.id}`);
    shown.close();
  };
}

// Pages may set the title at any time, so the notice is prepended again after each change.
let notice = "";

const mark = (): string => `● ${notice} · `;

function showNotice(): void {
  if (notice && !document.title.startsWith(mark())) document.title = mark() + document.title;
}

function dropNotice(): void {
  if (!notice) return;
  const shown = mark();
  notice = "";
  document.title = document.title.replace(shown, "");
}

new MutationObserver(showNotice).observe(document.head, { subtree: true, childList: true, characterData: true });
for (const event of ["pointerdown", "keydown"]) addEventListener(event, dropNotice);
addEventListener("storage", (event) => {
  if (event.key === STORED) watched.value = load();
});
poll();
