// The dialog that edits a job's name, labels, notes and priority, and the button that archives it.
import { useRef, useState } from "preact/hooks";
import { ApiError, call, getTagged, isFinal, type Job } from "../../api";
import type { LiveJob } from "../../live/job";
import { EDIT } from "../../texts/edit";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";

interface Draft {
  /** The job when the dialog was opened; the edit is rejected if someone else has edited it since. */
  job: Job;
  tag: string | null;
  name: string;
  labels: string;
  notes: string;
  priority: string;
}

export function EditButton({ live, job }: { live: LiveJob; job: Job }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState<{ message: string; isConflict: boolean } | null>(null);
  const [busy, setBusy] = useState(false);
  const guarded = async (act: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      await act();
    } catch (error) {
      const message = error instanceof ApiError ? [error.message, error.hint].filter(Boolean).join(" ") : "";
      const isConflict = error instanceof ApiError && error.status === 412;
      setProblem({ message: message || say(EDIT.unreachable), isConflict });
    } finally {
      setBusy(false);
    }
  };
  const load = (): Promise<void> =>
    guarded(async () => {
      const { value, tag } = await getTagged<Job>(`/v1/jobs/${job.id}`);
      setDraft(draftOf(value, tag));
    });
  const open = (): void => {
    setDraft(draftOf(job, null));
    dialog.current?.showModal();
    void load();
  };
  const save = (overwrite: boolean): Promise<void> =>
    guarded(async () => {
      const [labels, malformed] = parseLabels(draft!.labels);
      if (malformed) return setProblem({ message: say(EDIT.bad_label, { line: malformed }), isConflict: false });
      const headers: Record<string, string> = overwrite || !draft!.tag ? {} : { "If-Match": draft!.tag };
      await call("PATCH", `/v1/jobs/${job.id}`, { body: changes(draft!, labels), headers });
      live.refresh();
      dialog.current?.close();
    });
  const field = (part: Partial<Draft>): void => setDraft(draft && { ...draft, ...part });
  return (
    <>
      <button type="button" onClick={open}>
        {say(EDIT.edit)}
      </button>
      <dialog ref={dialog} class="edit" aria-label={say(EDIT.title)}>
        {draft && (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void save(false);
            }}
          >
            <label>
              {say(EDIT.name)}
              <input
                value={draft.name}
                maxLength={200}
                onInput={(event) => field({ name: event.currentTarget.value })}
              />
            </label>
            <label>
              {say(EDIT.labels)}
              <textarea
                rows={3}
                value={draft.labels}
                placeholder={say(SHARED.label_example)}
                onInput={(event) => field({ labels: event.currentTarget.value })}
              />
            </label>
            <label>
              {say(EDIT.notes)}
              <textarea
                rows={5}
                maxLength={10000}
                value={draft.notes}
                onInput={(event) => field({ notes: event.currentTarget.value })}
              />
            </label>
            {job.status === "queued" && (
              <label>
                {say(EDIT.priority)}
                <input
                  type="number"
                  min={-1000}
                  max={1000}
                  required
                  value={draft.priority}
                  onInput={(event) => field({ priority: event.currentTarget.value })}
                />
              </label>
            )}
            <p class="note">{say(EDIT.spec_stays)}</p>
            {problem && (
              <p class="problem" role="alert">
                {problem.message}
              </p>
            )}
            <div class="row end">
              <button type="button" onClick={() => dialog.current?.close()}>
                {say(SHARED.no)}
              </button>
              {problem?.isConflict && (
                <>
                  <button type="button" onClick={() => void load()}>
                    {say(EDIT.reload)}
                  </button>
                  <button type="button" class="danger" onClick={() => void save(true)}>
                    {say(EDIT.overwrite)}
                  </button>
                </>
              )}
              <button type="submit" class="primary" disabled={busy}>
                {say(EDIT.save)}
              </button>
            </div>
          </form>
        )}
      </dialog>
    </>
  );
}

export function ArchiveButton({ live, job }: { live: LiveJob; job: Job }) {
  const [problem, setProblem] = useState("");
  if (!isFinal(job)) return null;
  const toggle = async (): Promise<void> => {
    try {
      await call("PATCH", `/v1/jobs/${job.id}`, { body: { archived: !job.archived } });
      setProblem("");
      live.refresh();
    } catch (error) {
      setProblem(error instanceof ApiError ? error.message : say(EDIT.unreachable));
    }
  };
  return (
    <>
      <button type="button" onClick={() => void toggle()}>
        {say(job.archived ? EDIT.restore : EDIT.archive)}
      </button>
      {problem && (
        <span class="problem" role="alert">
          {problem}
        </span>
      )}
    </>
  );
}

/** The notes of a job, and whether it is archived. */
export function Notes({ job }: { job: Job }) {
  return (
    <>
      {job.archived && (
        <p class="note archived" role="status">
          {say(EDIT.is_archived)}
        </p>
      )}
      {job.notes && <p class="notes">{job.notes}</p>}
    </>
  );
}

function draftOf(job: Job, tag: string | null): Draft {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}:${value}`);
  return {
    job,
    tag,
    name: job.name ?? "",
    labels: labels.join("\n"),
    notes: job.notes ?? "",
    priority: String(job.priority ?? 0),
  };
}

/** Return the labels, and the first line that is not one. */
function parseLabels(text: string): [Record<string, string>, string | null] {
  const labels: Record<string, string> = {};
  for (const line of text.split("\n").map((one) => one.trim())) {
    if (!line) continue;
    const colon = line.indexOf(":");
    if (colon < 1) return [labels, line];
    labels[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  return [labels, null];
}

/** Return only the fields that the reader has changed, so that an edit of one field does not write the others back. */
function changes(draft: Draft, labels: Record<string, string>): Record<string, unknown> {
  const { job } = draft;
  const changed: Record<string, unknown> = {};
  if (draft.name !== (job.name ?? "")) changed.name = draft.name || null;
  if (draft.notes !== (job.notes ?? "")) changed.notes = draft.notes || null;
  const removed = Object.keys(job.labels).filter((key) => !(key in labels));
  const set = Object.entries(labels).filter(([key, value]) => job.labels[key] !== value);
  if (removed.length || set.length)
    changed.labels = { ...Object.fromEntries(set), ...Object.fromEntries(removed.map((key) => [key, null])) };
  if (job.status === "queued" && Number(draft.priority) !== job.priority) changed.priority = Number(draft.priority);
  return changed;
}
