// The warnings of a plan about the datasets of a job, each with the dataset that it concerns.
import type { components } from "../../api";
import { PLAN } from "../../texts/plan";
import { say } from "../../texts/say";

type Warning = components["schemas"]["JobWarning"];

export function DataWarnings({ warnings }: { warnings?: Warning[] | null }) {
  return (
    <>
      {warnings?.map((warning) => (
        <p key={`${warning.param} ${warning.code}`} class="warning">
          {sayWarning(warning.param, warning.message)}
        </p>
      ))}
    </>
  );
}

function sayWarning(param: string, message: string): string {
  const part = /^dataset\.train\[(\d+)\]/.exec(param)?.[1];
  if (part !== undefined) return say(PLAN.of_dataset, { n: Number(part) + 1, message });
  return say(param === "dataset.train" ? PLAN.warning_train : PLAN.warning_eval, { message });
}
