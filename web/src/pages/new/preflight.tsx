// Shows what is known about the job before it is submitted: the model, its modules and its context, the rows, the cost of evaluation.
import type { ComponentChildren } from "preact";
import type { components } from "../../api";
import { bytes, compact, count } from "../../format";
import { Facts } from "../../parts/facts";
import { DataWarnings } from "../../parts/plan/data-warnings";
import { Forecast } from "../../parts/plan/forecast";
import { TokenCounts } from "../../parts/token-counts";
import { pick, type Tree } from "../../spec";
import { NEW } from "../../texts/new/new";
import { say } from "../../texts/say";
import type { ModelPage } from "./types";

export type Plan = components["schemas"]["Plan"];

interface Props {
  spec: Tree;
  plan: Plan | null;
  models: ModelPage | null;
  /** The default of `training.max_length`. */
  defaultLength: number;
  choose: (id: string) => void;
  /** Request the plan again. */
  repeat: () => void;
}

export function Preflight({ spec, plan, models, defaultLength, choose, repeat }: Props) {
  const id = typeof spec.model === "string" ? spec.model : "";
  const model = plan?.model ?? models?.data.find((one) => one.id === id) ?? null;
  const isUnchecked = id !== "" && models !== null && !model?.checked;
  const similar = plan?.model.similar_id;
  const aboutSteps = plan?.forecast.steps?.value;
  return (
    <div aria-live="polite">
      {model?.checked && <ModelFacts spec={spec} model={model} defaultLength={defaultLength} />}
      {isUnchecked && <p class="warning">{say(NEW.not_checked, { id })}</p>}
      {isUnchecked && similar && (
        <p class="row">
          {say(NEW.similar)}
          <button type="button" onClick={() => choose(similar)}>
            {similar}
          </button>
        </p>
      )}
      {plan && (
        <p class="fresh">
          ✓{" "}
          {plan.steps != null
            ? say(NEW.plan_ok, {
                steps: count(plan.steps),
                rows: count(plan.train_rows),
                eval: count(plan.eval_rows),
              })
            : aboutSteps != null
              ? say(NEW.plan_text, {
                  steps: count(aboutSteps),
                  rows: count(plan.train_rows),
                  eval: count(plan.eval_rows),
                })
              : say(NEW.plan_hub)}
        </p>
      )}
      {plan && <Forecast forecast={plan.forecast} />}
      {plan && typeof plan.spec.dataset.train === "string" && (
        <TokenCounts
          dataset={plan.spec.dataset.train}
          model={plan.spec.model}
          length={plan.spec.training!.max_length!}
          isCounted={plan.forecast.tokens.per_row.basis === "measured"}
          onCounted={repeat}
        />
      )}
      <DataWarnings warnings={plan?.data_warnings} />
      {plan?.evaluation && <p class="note">{sayCost(plan.evaluation)}</p>}
      {plan?.gpus != null && plan.gpus > 1 && <p class="note">{say(NEW.plan_gpus, { n: count(plan.gpus) })}</p>}
      {plan?.waiting && (
        <p class="problem" role="status">
          {plan.waiting.message}
        </p>
      )}
      {!plan && !id && <p class="note">{say(NEW.checks_hint)}</p>}
    </div>
  );
}

interface FactsProps {
  spec: Tree;
  model: Plan["model"] | ModelPage["data"][number];
  defaultLength: number;
}

function ModelFacts({ spec, model, defaultLength }: FactsProps) {
  const targets = pick(spec, "lora.target_modules");
  const wanted = Array.isArray(targets) ? (targets as string[]) : null;
  const unknown = model.linear_modules ? (wanted ?? []).filter((one) => !hasModule(model.linear_modules!, one)) : [];
  const length = (pick(spec, "training.max_length") as number | undefined) ?? defaultLength;
  const isTooLong = model.max_length != null && length > model.max_length;
  const size = [
    model.parameters && say(NEW.parameters, { n: compact(model.parameters) }),
    model.bytes && bytes(model.bytes),
  ];
  const rows: [string, ComponentChildren][] = [
    [say(NEW.fact_model), [model.architecture, ...size].filter(Boolean).join(" · ")],
    [
      say(NEW.fact_context),
      model.max_length && (
        <span class={isTooLong ? "problem" : undefined}>
          {say(NEW.context_used, { length: count(length), longest: count(model.max_length) })}
        </span>
      ),
    ],
    [
      say(NEW.fact_modules),
      model.linear_modules &&
        (unknown.length ? (
          <span class="problem">
            {say(NEW.modules_unknown, { unknown: unknown.join(", "), all: model.linear_modules.join(", ") })}
          </span>
        ) : (
          (wanted ?? model.linear_modules).join(", ")
        )),
    ],
    [say(NEW.fact_template), model.chat_template && say(NEW[`template_${model.chat_template}`])],
    [say(NEW.fact_license), model.license],
  ];
  return <Facts class="settings facts" rows={rows} />;
}

/** A target may also be the end of a module's path, such as `self_attn.q_proj`. */
const hasModule = (known: string[], target: string): boolean => known.includes(target.split(".").pop()!);

function sayCost(cost: NonNullable<Plan["evaluation"]>): string {
  return say(NEW.plan_eval, {
    times: count(cost.evaluations),
    eval: count(cost.rows),
    passes: count(cost.row_passes),
    all: count(cost.row_passes + cost.training_row_passes),
    share: (100 * cost.share).toFixed(cost.share < 0.1 ? 1 : 0),
  });
}
