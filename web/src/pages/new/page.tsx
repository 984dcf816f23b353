// The form for a new job, built from the JobSpec's schema, with the equivalent curl command next to it. The text entered survives
// a reload. Problems reported by the server are shown next to their fields.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, call, type components, getWithRetries, type Job } from "../../api";
import { belongsTo, type Field, fieldsOf, rangeOf, serverProblemsOf, specOf, type Texts, textsOf } from "./form";
import { CHINESE } from "../../texts/fields";
import { count } from "../../format";
import { language } from "../../preferences";
import { Card, CopyButton, onText, useKeys } from "../../parts/controls";
import { DatasetChooser } from "./dataset-chooser";
import { go, query } from "../../router";
import { asCurl, asText, defaults, loadOpenapi, openapi, shortest, type Tree } from "../../spec";
import { say, type Text } from "../../texts/say";
import { NEW } from "../../texts/new";
import { SHARED } from "../../texts/shared";

type Plan = components["schemas"]["Plan"];

const GROUPS: [Text, (path: string) => boolean][] = [
  [NEW.group_basic, (path) => /^(model|model_revision|dataset\..*)$/.test(path)],
  [NEW.group_training, (path) => path.startsWith("training.")],
  [NEW.group_lora, (path) => path.startsWith("lora.")],
  [NEW.group_evaluation, (path) => /^(evaluation|checkpoint)\./.test(path)],
  [NEW.group_resources, (path) => path.startsWith("resources.")],
  [NEW.group_about, (path) => /^(name|labels|priority|queue)$/.test(path)],
  [NEW.group_quantization, (path) => path.startsWith("quantization.")],
  [NEW.group_engine, (path) => path.startsWith("engine.")],
];

function loadDraft(from: string): Texts | null {
  try {
    return JSON.parse(sessionStorage.getItem(`draft ${from}`) ?? "null") as Texts | null;
  } catch {
    return null;
  }
}

function saveDraft(from: string, texts: Texts | null): void {
  try {
    if (texts) sessionStorage.setItem(`draft ${from}`, JSON.stringify(texts));
    else sessionStorage.removeItem(`draft ${from}`);
  } catch {
    // The browser may block storage. The draft is then lost when the page is closed.
  }
}

export function NewPage() {
  const from = query.value.get("from") ?? "";
  const [texts, setTexts] = useState<Texts | null>(loadDraft(from));
  const [original, setOriginal] = useState<Job | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    document.title = `${say(SHARED.new_job)} · Stepline`;
  }, [language.value]);
  useEffect(() => {
    let current = true;
    void (async () => {
      try {
        const document = await loadOpenapi();
        const job = from ? await getWithRetries<Job>(`/v1/jobs/${from}`) : null;
        if (!current) return;
        setOriginal(job);
        setTexts((held) => held ?? (job ? textsOf(shortest(job.spec as Tree, defaults(document))) : {}));
      } catch (error) {
        if (!current) return;
        setProblem((error as Error).message);
        setTexts((held) => held ?? {});
      }
    })();
    return () => {
      current = false;
    };
  }, [from]);
  const change = (changed: Texts): void => {
    setTexts(changed);
    saveDraft(from, changed);
  };
  if (!texts || !openapi.value) return <p class="note">{problem || say(SHARED.loading)}</p>;
  return (
    <Form
      key={from}
      texts={texts}
      change={change}
      intro={problem || (original ? say(NEW.intro_from, { name: original.name ?? original.id }) : say(NEW.intro))}
      forget={() => saveDraft(from, null)}
    />
  );
}

interface FormProps {
  texts: Texts;
  change: (texts: Texts) => void;
  intro: string;
  forget: () => void;
}

function Form({ texts, change, intro, forget }: FormProps) {
  const fields = fieldsOf(openapi.value!);
  const { spec, problems } = specOf(fields, texts);
  const [rejection, setRejection] = useState<ApiError | null>(null);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const key = useRef(newKey());
  const body = JSON.stringify(spec);
  const isInvalid = Object.keys(problems).length > 0;

  // Send a dry run shortly after the last change.
  useEffect(() => {
    setRejection(null);
    setPlan(null);
    key.current = newKey();
    if (isInvalid) return;
    let current = true;
    const timer = setTimeout(() => {
      call<Plan>("POST", "/v1/jobs?dry_run=true", { body: spec }).then(
        (found) => current && setPlan(found),
        (error) => current && error instanceof ApiError && setRejection(error),
      );
    }, 500);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [body, isInvalid, language.value]);

  const submit = async (): Promise<void> => {
    setTried(true);
    if (isInvalid) {
      const first = fields.find((field) => problems[field.path]);
      if (first) document.getElementById(idOf(first.path))?.focus();
      return;
    }
    setBusy(true);
    try {
      const job = await call<Job>("POST", "/v1/jobs", { body: spec, headers: { "Idempotency-Key": key.current } });
      forget();
      go(`/jobs/${job.id}`);
    } catch (error) {
      if (error instanceof ApiError) setRejection(error);
    } finally {
      setBusy(false);
    }
  };

  const problemOf = (path: string): string => {
    const own = problems[path];
    if (own && (tried || texts[path])) return own;
    return serverProblems
      .filter((one) => belongsTo(one, path))
      .map((one) => one.message)
      .join(" ");
  };
  const serverProblems = rejection ? serverProblemsOf(rejection) : [];
  const unplaced = serverProblems.filter((one) => !fields.some((field) => belongsTo(one, field.path)));
  const set = (changes: Record<string, string>): void => {
    const changed = { ...texts };
    for (const [path, text] of Object.entries(changes)) {
      if (text === "") delete changed[path];
      else changed[path] = text;
    }
    change(changed);
  };
  useKeys({});

  return (
    <form
      class="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <div>
        <header class="page">
          <div>
            <h1>{say(SHARED.new_job)}</h1>
            <p class="note">{intro}</p>
          </div>
        </header>
        {GROUPS.map(([text, fits]) => (
          <Card key={text[0]} title={say(text)}>
            <fieldset aria-label={say(text)}>
              {fields
                .filter((field) => fits(field.path))
                .map((field) => (
                  <Row key={field.path} field={field} texts={texts} set={set} problem={problemOf(field.path)} />
                ))}
            </fieldset>
          </Card>
        ))}
      </div>
      <aside>
        <Card title={say(NEW.equivalent)} aside={<CopyButton text={() => asCurl(spec)}>{say(SHARED.copy)}</CopyButton>}>
          <pre tabIndex={0} aria-label={say(NEW.equivalent)}>
            {asCurl(spec)}
          </pre>
          <div aria-live="polite">
            {plan && (
              <p class="fresh">
                ✓{" "}
                {plan.steps != null
                  ? say(NEW.plan_ok, {
                      steps: count(plan.steps),
                      rows: count(plan.train_rows),
                      eval: count(plan.eval_rows),
                    })
                  : say(NEW.plan_hub)}
              </p>
            )}
            {plan?.evaluation && <p class="note">{sayCost(plan.evaluation)}</p>}
            {plan?.gpus != null && plan.gpus > 1 && <p class="note">{say(NEW.plan_gpus, { n: count(plan.gpus) })}</p>}
            {plan?.waiting && (
              <p class="problem" role="status">
                {plan.waiting.message}
              </p>
            )}
            {tried && isInvalid && <p class="problem">{say(NEW.has_problems)}</p>}
            {unplaced.map(({ param, message }) => (
              <p key={param} class="problem" role="alert">
                {param && `${param}: `}
                {message}
              </p>
            ))}
          </div>
          <div class="row end">
            <button
              type="button"
              onClick={() => {
                forget();
                change({});
                setTried(false);
              }}
            >
              {say(NEW.reset)}
            </button>
            <button type="submit" class="primary" disabled={busy}>
              {say(NEW.submit)}
            </button>
          </div>
        </Card>
      </aside>
    </form>
  );
}

function sayCost(cost: NonNullable<Plan["evaluation"]>): string {
  return say(NEW.plan_eval, {
    times: count(cost.evaluations),
    eval: count(cost.rows),
    passes: count(cost.row_passes),
    all: count(cost.row_passes + cost.training_row_passes),
    share: (100 * cost.share).toFixed(cost.share < 0.1 ? 1 : 0),
  });
}

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const idOf = (path: string): string => `field-${path.replaceAll(".", "-")}`;

interface RowProps {
  field: Field;
  texts: Texts;
  set: (changes: Record<string, string>) => void;
  problem: string;
}

function Row({ field, texts, set, problem }: RowProps) {
  const { path } = field;
  const chinese = language.value === "zh" ? CHINESE[path] : undefined;
  const isDataset = path === "dataset.train" || path === "dataset.eval";
  const range = rangeOf(field);
  const id = idOf(path);
  const attributes = { id, "aria-invalid": problem ? true : undefined, "aria-describedby": `${id}-help` };
  const placeholder = field.isRequired
    ? say(NEW.required)
    : field.defaultValue === null || field.defaultValue === undefined
      ? ""
      : asText(field.defaultValue);
  const text = texts[path] ?? "";
  return (
    <div class={`field${isDataset ? " wide" : ""}`}>
      <label for={id}>
        {chinese?.[0] ?? field.title}
        <small>{path}</small>
      </label>
      {isDataset ? (
        <DatasetChooser path={path} texts={texts} set={set} attributes={attributes} isRequired={field.isRequired} />
      ) : path === "labels" ? (
        <textarea
          {...attributes}
          value={text}
          placeholder={say(SHARED.label_example)}
          onInput={onText((to) => set({ [path]: to }))}
        />
      ) : field.options ? (
        <select {...attributes} value={text} onChange={onText((to) => set({ [path]: to }))}>
          <option value="">{placeholder}</option>
          {field.options
            .filter((option) => option !== String(field.defaultValue))
            .map((option) => (
              <option key={option}>{option}</option>
            ))}
        </select>
      ) : (
        <input
          {...attributes}
          inputMode={field.isNumber ? "decimal" : undefined}
          autocomplete="off"
          spellcheck={false}
          value={text}
          placeholder={placeholder}
          required={field.isRequired}
          onInput={onText((to) => set({ [path]: to }))}
        />
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <p class="note" id={`${id}-help`}>
        {chinese?.[1] ?? field.help.replaceAll("`", "")}
        {range && ` (${range})`}
      </p>
    </div>
  );
}
