// Sends the spec to the server as a dry run, shortly after its last change.
import { useEffect, useState } from "preact/hooks";
import { ApiError, call } from "../../api";
import { language } from "../../preferences";
import type { Tree } from "../../spec";
import type { Plan } from "./preflight";

const PAUSE_MS = 500;

export interface DryRun {
  /** Null until the server has accepted the spec in its current form. */
  plan: Plan | null;
  /** The server's reason for rejecting the spec in its current form. */
  rejection: ApiError | null;
  setRejection: (rejection: ApiError | null) => void;
}

export function useDryRun(spec: Tree, isComplete: boolean): DryRun {
  const [plan, setPlan] = useState<Plan | null>(null);
  const [rejection, setRejection] = useState<ApiError | null>(null);
  useEffect(() => {
    setRejection(null);
    setPlan(null);
    if (!isComplete) return;
    let current = true;
    const timer = setTimeout(() => {
      call<Plan>("POST", "/v1/jobs?dry_run=true", { body: spec }).then(
        (found) => current && setPlan(found),
        (error) => current && error instanceof ApiError && setRejection(error),
      );
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [JSON.stringify(spec), isComplete, language.value]);
  return { plan, rejection, setRejection };
}
