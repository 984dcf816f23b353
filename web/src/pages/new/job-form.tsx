// The form: its fields, the checks and the curl command next to them, and what Submit does.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, call, getWithRetries, type Job, SUBMIT_MS } from "../../api";
import { Card, CopyButton, useKeys } from "../../parts/controls";
import { go, query, setQuery } from "../../router";
import { asCurl, openapi } from "../../spec";
import { NEW } from "../../texts/new/new";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { useDryRun } from "./dry-run";
import { FieldRow, idOf } from "./fields/field-row";
import { belongsTo, fieldsOf, serverProblemsOf, specOf } from "./form";
import { type Group, groupsOf, isAdvanced } from "./groups";
import { presetFields, usePresets } from "./presets";
import { Preflight } from "./preflight";
import { SubmitBar } from "./submit-bar";
import type { ModelPage, Texts } from "./types";

interface Props {
  texts: Texts;
  change: (texts: Texts) => void;
  intro: string;
  forget: () => void;
}

export function JobForm({ texts, change, intro, forget }: Props) {
  usePresets();
  const { first, advanced } = groupsOf(presetFields(fieldsOf(openapi.value!), texts.preset));
  const fields = [...first.fields, ...advanced.flatMap((group) => group.fields)];
  const { spec, problems } = specOf(fields, texts);
  const isComplete = Object.keys(problems).length === 0;
  const [tried, setTried] = useState(false);
  const { plan, rejection, setRejection, repeat } = useDryRun(spec, isComplete, tried && !isComplete);
  const models = useModels(texts.queue ?? "");
  const [busy, setBusy] = useState(false);
  const [isUnanswered, setUnanswered] = useState(false);
  const [target, setTarget] = useState<{ path: string } | null>(null);
  const key = useRef("");
  const body = JSON.stringify(spec);
  useEffect(() => {
    key.current = newKey();
    setUnanswered(false);
  }, [body]);

  const changed = Object.keys(texts).filter((path) => isAdvanced(path) && texts[path]).length;
  const chosen = query.value.get("advanced");
  const isOpen = chosen === null ? changed > 0 : chosen === "1";
  const show = (path: string): void => {
    if (isAdvanced(path)) setQuery({ advanced: "1" });
    setTarget({ path });
  };
  useLayoutEffect(() => {
    const field = target && document.getElementById(idOf(target.path));
    field?.focus({ preventScroll: true });
    field?.scrollIntoView({ block: "center" });
  }, [target]);

  // When the models have been loaded, another control may hold the model's id. It keeps the focus, unless the user has moved on.
  useLayoutEffect(() => {
    if (target?.path !== "model" || !models) return;
    const focused = document.activeElement;
    if (focused === document.body || focused?.closest(".chooser")) document.getElementById(idOf("model"))?.focus();
  }, [models !== null]);

  // A link can name the field to change.
  useEffect(() => {
    const named = query.value.get("field");
    if (named && fields.some((field) => field.path === named)) show(named);
  }, []);

  // The spec omits fields that are invalid, so the server's messages about these fields would be misleading.
  const serverProblems = (rejection ? serverProblemsOf(rejection) : []).filter(
    ({ param }) => !Object.keys(problems).some((path) => path === param || path.startsWith(`${param}.`)),
  );
  const problemOf = (path: string): string => {
    const own = problems[path];
    if (own && (tried || texts[path])) return own;
    return serverProblems
      .filter((one) => belongsTo(one, path))
      .map((one) => one.message)
      .join(" ");
  };
  const unplaced = serverProblems.filter((one) => !fields.some((field) => belongsTo(one, field.path)));

  const submit = async (): Promise<void> => {
    setTried(true);
    const wrong = fields.find((field) => problems[field.path]);
    if (wrong) return show(wrong.path);
    setBusy(true);
    setUnanswered(false);
    try {
      const headers = { "Idempotency-Key": key.current };
      const job = await call<Job>("POST", "/v1/jobs", { body: spec, headers, timeoutMs: SUBMIT_MS });
      forget();
      go(`/jobs/${job.id}`);
    } catch (error) {
      if (!(error instanceof ApiError)) return setUnanswered(true);
      setRejection(error);
      const named = serverProblemsOf(error);
      const rejected = fields.find((field) => named.some((one) => belongsTo(one, field.path)));
      if (rejected) show(rejected.path);
    } finally {
      setBusy(false);
    }
  };
  const set = (changes: Record<string, string>): void => {
    const next = { ...texts };
    for (const [path, text] of Object.entries(changes)) {
      if (text === "") delete next[path];
      else next[path] = text;
    }
    change(next);
  };
  useKeys({});

  const card = ({ title, fields: shown }: Group) => (
    <Card key={title[0]} title={say(title)}>
      <fieldset aria-label={say(title)}>
        {shown.map((field) => (
          <FieldRow
            key={field.path}
            field={field}
            texts={texts}
            set={set}
            problem={problemOf(field.path)}
            models={models}
          />
        ))}
      </fieldset>
    </Card>
  );
  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) void submit();
      }}
    >
      <div>
        <header class="page">
          <div>
            <h1>{say(SHARED.new_job)}</h1>
            <p class="note">{intro}</p>
          </div>
        </header>
        {card(first)}
        <button
          type="button"
          class="advanced"
          aria-expanded={isOpen}
          aria-controls="advanced"
          onClick={() => setQuery({ advanced: isOpen ? "0" : "1" })}
        >
          <span aria-hidden="true">{isOpen ? "▾" : "▸"}</span>
          {say(NEW.advanced)}
          <small>{changed ? say(NEW.advanced_changed, { n: changed }) : say(NEW.advanced_defaults)}</small>
        </button>
        <div id="advanced" hidden={!isOpen}>
          {advanced.map(card)}
        </div>
      </div>
      <aside>
        <Card title={say(NEW.checks)}>
          <Preflight
            spec={spec}
            plan={plan}
            models={models}
            defaultLength={Number(fields.find((field) => field.path === "training.max_length")?.defaultValue)}
            choose={(id) => set({ model: id })}
            repeat={repeat}
          />
        </Card>
        <Card title={say(NEW.equivalent)} aside={<CopyButton text={() => asCurl(spec)}>{say(SHARED.copy)}</CopyButton>}>
          <pre tabIndex={0} aria-label={say(NEW.equivalent)}>
            {asCurl(spec)}
          </pre>
        </Card>
      </aside>
      <SubmitBar
        invalid={fields.filter((field) => problemOf(field.path))}
        others={[
          ...unplaced.map(({ param, message }) => (param ? `${param}: ${message}` : message)),
          ...(isUnanswered ? [say(NEW.no_answer)] : []),
        ]}
        show={show}
        reset={() => {
          forget();
          change({});
          setTried(false);
        }}
        isBusy={busy}
      />
    </form>
  );
}

/** Return the models that the workers of a queue have; null until they are known, or if the queue's name is invalid. */
function useModels(queue: string): ModelPage | null {
  const [models, setModels] = useState<ModelPage | null>(null);
  useEffect(() => {
    let current = true;
    getWithRetries<ModelPage>(`/v1/models?queue=${encodeURIComponent(queue || "default")}`).then(
      (page) => current && setModels(page),
      () => current && setModels({ object: "list", data: [], has_more: false, cursor: null, accepts_other_ids: true }),
    );
    return () => {
      current = false;
    };
  }, [queue]);
  return models;
}

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
