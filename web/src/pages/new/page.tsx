// The page for a new job: loads the form's schema and the job that is copied, and keeps the text entered across a reload.
import { useEffect, useState } from "preact/hooks";
import { getWithRetries, type Job } from "../../api";
import { language } from "../../preferences";
import { query } from "../../router";
import { defaults, loadOpenapi, openapi, shortest, type Tree } from "../../spec";
import { NEW } from "../../texts/new/new";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { loadDraft, saveDraft } from "./draft";
import { textsOf } from "./form";
import { JobForm } from "./job-form";
import type { Texts } from "./types";

/** The spec is complete, and a copy should not depend on what the preset sets today. */
const withoutPreset = (spec: Tree): Tree => ({ ...spec, preset: null });

export function NewPage() {
  const from = query.value.get("from") ?? "";
  const dataset = query.value.get("dataset") ?? "";
  const source = from || dataset;
  const [texts, setTexts] = useState<Texts | null>(loadDraft(source));
  const [original, setOriginal] = useState<Job | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    document.title = `${say(SHARED.new_job)} · Stepline`;
  }, [language.value]);
  useEffect(() => {
    let current = true;
    const blank: Texts = dataset ? { "dataset.train": dataset } : {};
    void (async () => {
      try {
        const document = await loadOpenapi();
        const job = from ? await getWithRetries<Job>(`/v1/jobs/${from}`) : null;
        if (!current) return;
        setOriginal(job);
        setTexts(
          (held) => held ?? (job ? textsOf(shortest(withoutPreset(job.spec as Tree), defaults(document))) : blank),
        );
      } catch (error) {
        if (!current) return;
        setProblem((error as Error).message);
        setTexts((held) => held ?? blank);
      }
    })();
    return () => {
      current = false;
    };
  }, [from, dataset]);
  const change = (changed: Texts): void => {
    setTexts(changed);
    saveDraft(source, changed);
  };
  if (!texts || !openapi.value) return <p class="note">{problem || say(SHARED.loading)}</p>;
  return (
    <JobForm
      key={source}
      texts={texts}
      change={change}
      intro={problem || (original ? say(NEW.intro_from, { name: original.name ?? original.id }) : say(NEW.intro))}
      forget={() => saveDraft(source, null)}
    />
  );
}
