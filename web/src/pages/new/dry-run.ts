// Sends the spec to the server as a dry run, shortly after its last change.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, call, READ_MS } from "../../api";
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
  /** Send the spec again, because the server now knows more about its data. */
  repeat: () => void;
}

/**
 * Send the spec if it `isComplete`; with `wantsProblems` also if it is not, because the server may find problems with the other
 * fields.
 */
export function useDryRun(spec: Tree, isComplete: boolean, wantsProblems: boolean): DryRun {
  const [repeats, setRepeats] = useState(0);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [rejection, setRejection] = useState<ApiError | null>(null);
  const body = JSON.stringify(spec);
  const last = useRef(body);
  useEffect(() => {
    setRejection(null);
    setPlan(null);
    const pauseMs = last.current === body ? 0 : PAUSE_MS;
    last.current = body;
    if (!isComplete && !wantsProblems) return;
    let current = true;
    const timer = setTimeout(() => {
      call<Plan>("POST", "/v1/jobs?dry_run=true", { body: spec, timeoutMs: READ_MS }).then(
        (found) => current && isComplete && setPlan(found),
        (error) => current && error instanceof ApiError && setRejection(error),
      );
    }, pauseMs);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [body, isComplete, wantsProblems, repeats, language.value]);
  return { plan, rejection, setRejection, repeat: () => setRepeats((count) => count + 1) };
}
