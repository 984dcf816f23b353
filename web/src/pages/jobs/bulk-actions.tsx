// The actions on the selected jobs: buttons in the selection bar, and a dialog that asks, shows the progress and lists the jobs
// that were rejected.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "../../format";
import { parseLabels } from "../../labels";
import { onText } from "../../parts/controls";
import { select, selectedIds } from "../../parts/selection";
import { BULK } from "../../texts/jobs/bulk";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { type Action, current, nameOf, type Run, run, stop } from "./bulk";
import { refreshJobs } from "./list";

type Name = Action["name"];

/** Maximum number of rejected jobs that the dialog lists. */
const MOST_LISTED = 100;

/** The action that the dialog asks about or runs. */
const asked = signal<Name | null>(null);

function ask(name: Name): void {
  current.value = null;
  asked.value = name;
}

export function BulkActions({ archived }: { archived: boolean }) {
  return (
    <>
      <button type="button" onClick={() => ask("label")}>
        {say(BULK.label)}
      </button>
      <button type="button" onClick={() => ask("archive")}>
        {say(archived ? BULK.restore : BULK.archive)}
      </button>
      <button type="button" class="danger" onClick={() => ask("cancel")}>
        {say(BULK.cancel)}
      </button>
      <button type="button" class="danger" onClick={() => ask("delete")}>
        {say(BULK.delete)}
      </button>
    </>
  );
}

/** The dialog. It is not part of the selection bar, because the bar disappears when an action has succeeded for all jobs. */
export function BulkDialog({ archived }: { archived: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const ids = selectedIds();
  useEffect(() => {
    if (asked.value && !dialog.current?.open) dialog.current?.showModal();
  }, [asked.value]);
  useEffect(() => () => reset(), []);
  const start = async (action: Action): Promise<void> => {
    select(await run(action, ids));
    refreshJobs();
  };
  const reset = (): void => {
    stop();
    asked.value = null;
  };
  const onClose = (): void => {
    reset();
    // Until the next frame, the focus may still be on a button of the dialog.
    const focused = document.activeElement;
    if (focused === document.body || dialog.current?.contains(focused)) focusList();
  };
  const close = (): void => dialog.current?.close();
  const shown = current.value;
  return (
    <dialog ref={dialog} class="bulk" aria-label={say(BULK.title)} onClose={onClose}>
      {shown ? (
        <Progress shown={shown} retry={() => void start(shown.action)} close={close} />
      ) : asked.value ? (
        <Question
          name={asked.value}
          archived={archived}
          n={ids.length}
          start={(action) => void start(action)}
          close={close}
        />
      ) : null}
    </dialog>
  );
}

/** Move the focus to the list: the button that opened the dialog is gone if the action has succeeded for all jobs. */
function focusList(): void {
  const boxes = [...document.querySelectorAll<HTMLElement>(".list-tools input, table.jobs thead input")];
  const target = boxes.find((box) => box.checkVisibility()) ?? document.querySelector<HTMLElement>("#main");
  target?.focus();
}

interface QuestionProps {
  name: Name;
  archived: boolean;
  n: number;
  start: (action: Action) => void;
  close: () => void;
}

function Question({ name, archived, n, start, close }: QuestionProps) {
  const [kind, setKind] = useState("set");
  const [text, setText] = useState("");
  const { labels } = parseLabels(text);
  const isSet = Object.keys(labels).length > 0;
  const isKey = text.trim() !== "" && !/[:：]/.test(text);
  const fits = name !== "label" || (kind === "set" ? isSet : isKey);
  const action = (): Action =>
    name === "label"
      ? { name, labels: kind === "set" ? labels : { [text.trim()]: null } }
      : name === "archive"
        ? { name, archived: !archived }
        : { name };
  const of = { n: count(n) };
  const [question, button] = {
    cancel: [say(BULK.sure_cancel, of), say(BULK.do_cancel, of)],
    delete: [say(BULK.sure_delete, of), say(BULK.do_delete, of)],
    archive: archived
      ? [say(BULK.sure_restore, of), say(BULK.do_restore, of)]
      : [say(BULK.sure_archive, of), say(BULK.do_archive, of)],
    label: [say(BULK.sure_label, of), say(BULK.do_label, of)],
  }[name];
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (fits) start(action());
      }}
    >
      <p>{question}</p>
      {name === "label" && (
        <div class="row">
          <select aria-label={say(BULK.label_kind)} value={kind} onChange={onText(setKind)}>
            <option value="set">{say(BULK.label_set)}</option>
            <option value="remove">{say(BULK.label_remove)}</option>
          </select>
          <input
            class="grow"
            aria-label={say(BULK.label_text)}
            placeholder={kind === "set" ? say(SHARED.label_example) : say(BULK.label_key)}
            maxLength={577}
            onInput={onText(setText)}
          />
        </div>
      )}
      <div class="row end">
        <button type="button" onClick={close}>
          {say(SHARED.no)}
        </button>
        <button
          type="submit"
          class={name === "cancel" || name === "delete" ? "danger" : "primary"}
          disabled={!fits || n === 0}
        >
          {button}
        </button>
      </div>
    </form>
  );
}

function Progress({ shown, retry, close }: { shown: Run; retry: () => void; close: () => void }) {
  const { total, done, rejected, left, isOver } = shown;
  return (
    <>
      <p role="status">
        {isOver
          ? say(BULK.finished, { done: count(done), total: count(total) })
          : say(BULK.progress, { done: count(done + rejected.length), total: count(total) })}
      </p>
      <progress max={total} value={done + rejected.length} aria-label={say(SHARED.progress)} />
      {left.length > 0 && <p class="note">{say(BULK.not_sent, { n: count(left.length) })}</p>}
      {rejected.length > 0 && (
        <>
          <p class="problem" role="alert">
            {say(BULK.rejected, { n: count(rejected.length) })}
          </p>
          <ul class="rejected">
            {rejected.slice(0, MOST_LISTED).map(({ id, message }) => (
              <li key={id}>
                <a href={`/jobs/${id}`}>{nameOf(id)}</a> <small>{message}</small>
              </li>
            ))}
            {rejected.length > MOST_LISTED && <li>{say(BULK.more, { n: count(rejected.length - MOST_LISTED) })}</li>}
          </ul>
        </>
      )}
      <div class="row end">
        {isOver ? (
          <>
            {rejected.length + left.length > 0 && (
              <button type="button" onClick={retry}>
                {say(BULK.retry)}
              </button>
            )}
            <button type="button" class="primary" onClick={close}>
              {say(BULK.close)}
            </button>
          </>
        ) : (
          <button type="button" onClick={stop}>
            {say(BULK.stop)}
          </button>
        )}
      </div>
    </>
  );
}
