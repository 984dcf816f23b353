// The dialog that edits a job's name, labels, notes and priority, and the button that archives it.
import { useRef, useState } from "preact/hooks";
import { ApiError, call, getTagged, isFinal, type Job } from "../../api";
import { parseLabels } from "../../labels";
import type { LiveJob } from "../../live/job";
import { EDIT } from "../../texts/job/edit";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";

/** The job when the dialog was opened; the edit is rejected if someone else has edited it since. */
interface Original {
  job: Job;
  tag: string | null;
}

interface Fields {
  name: string;
  labels: string;
  notes: string;
  priority: string;
}

export function EditButton({ live, job }: { live: LiveJob; job: Job }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [original, setOriginal] = useState<Original | null>(null);
  // Kept separate from the job, so that the reader's input is not lost when a newer state of the job arrives.
  const [typed, setTyped] = useState<Partial<Fields>>({});
  const fields = original && { ...fieldsOf(original.job), ...typed };
  const [problem, setProblem] = useState<{ message: string; isConflict: boolean } | null>(null);
  const [busy, setBusy] = useState(false);
  const guarded = async (act: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      await act();
    } catch (error) {
      const { message, hint } = error as Partial<ApiError>;
      const isConflict = error instanceof ApiError && error.status === 412;
      setProblem({ message: [message, hint].filter(Boolean).join(" "), isConflict });
    } finally {
      setBusy(false);
    }
  };
  const load = (): Promise<void> =>
    guarded(async () => {
      const { value, tag } = await getTagged<Job>(`/v1/jobs/${job.id}`);
      setOriginal({ job: value, tag });
    });
  const reload = (): void => {
    setTyped({});
    void load();
  };
  const open = (): void => {
    setOriginal({ job, tag: null });
    setTyped({});
    dialog.current?.showModal();
    void load();
  };
  const save = (overwrite: boolean): Promise<void> =>
    guarded(async () => {
      const { labels, malformed } = parseLabels(fields!.labels);
      if (malformed) return setProblem({ message: say(EDIT.bad_label, { line: malformed }), isConflict: false });
      const headers: Record<string, string> = overwrite || !original!.tag ? {} : { "If-Match": original!.tag };
      await call("PATCH", `/v1/jobs/${job.id}`, { body: changes(original!.job, fields!, labels), headers });
      live.refresh();
      dialog.current?.close();
    });
  const field = (part: Partial<Fields>): void => setTyped((earlier) => ({ ...earlier, ...part }));
  return (
    <>
      <button type="button" onClick={open}>
        {say(EDIT.edit)}
      </button>
      <dialog ref={dialog} class="edit" aria-label={say(EDIT.title)}>
        {fields && (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              void save(false);
            }}
          >
            <label>
              {say(EDIT.name)}
              <input
                value={fields.name}
                maxLength={200}
                onInput={(event) => field({ name: event.currentTarget.value })}
              />
            </label>
            <label>
              {say(EDIT.labels)}
              <textarea
                rows={3}
                value={fields.labels}
                placeholder={say(SHARED.label_example)}
                onInput={(event) => field({ labels: event.currentTarget.value })}
              />
            </label>
            <label>
              {say(EDIT.notes)}
              <textarea
                rows={5}
                maxLength={10000}
                value={fields.notes}
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
                  value={fields.priority}
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
                  <button type="button" onClick={reload}>
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
      setProblem((error as Error).message);
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

function fieldsOf(job: Job): Fields {
  const labels = Object.entries(job.labels).map(([key, value]) => `${key}:${value}`);
  return {
    name: job.name ?? "",
    labels: labels.join("\n"),
    notes: job.notes ?? "",
    priority: String(job.priority ?? 0),
  };
}

/** Return only the fields that the reader has changed, so that an edit of one field does not write the others back. */
function changes(job: Job, fields: Fields, labels: Record<string, string>): Record<string, unknown> {
  const changed: Record<string, unknown> = {};
  if (fields.name !== (job.name ?? "")) changed.name = fields.name || null;
  if (fields.notes !== (job.notes ?? "")) changed.notes = fields.notes || null;
  const removed = Object.keys(job.labels).filter((key) => !(key in labels));
  const set = Object.entries(labels).filter(([key, value]) => job.labels[key] !== value);
  if (removed.length || set.length)
    changed.labels = { ...Object.fromEntries(set), ...Object.fromEntries(removed.map((key) => [key, null])) };
  if (job.status === "queued" && Number(fields.priority) !== job.priority) changed.priority = Number(fields.priority);
  return changed;
}
