// Reads the compared jobs and keeps them up to date while they run.
import { useRef, useState } from "preact/hooks";
import { ApiError, get, isFinal, type Job, type Summary } from "../../api";
import { areOld } from "../../chart/scales/axes";
import type { Curve } from "../../history/curve";
import { readCurve, readNewPoints, readTimes, type Times } from "../../history/read";
import { usePoll } from "../../parts/poll";
import { language } from "../../preferences";

const POINTS = 1000;
const POLL_MS = 2000;
const SERIES = "loss,eval_loss,epoch,tokens";

/** One of the compared jobs. */
export interface Side {
  job: Job;
  curve: Curve;
  cursor: string;
  summary: Summary | null;
  /** Its training time at each step; null until an axis of time has been shown. */
  times: Times | null;
}

export interface Found {
  sides: Map<string, Side>;
  /** Ids of jobs that do not exist; they are not requested again. */
  missing: Set<string>;
}

async function readSide(id: string, held: Side | undefined, withTimes: boolean): Promise<Side> {
  const job = await get<Job>(`/v1/jobs/${id}`);
  let side: Side;
  if (held) {
    const { cursor } = isFinal(held.job) ? held : await readNewPoints(id, held.curve, held.cursor);
    side = { ...held, job, cursor };
  } else side = { job, summary: null, times: null, ...(await readCurve(id, null, POINTS, SERIES)) };
  if (job.status === "succeeded" && !side.summary) side.summary = await get<Summary>(`/v1/jobs/${id}/summary`);
  const newest = side.curve.of("loss").last()?.step ?? 0;
  if (withTimes && newest > 0 && areOld(side.times, newest)) side.times = await readTimes(id);
  return side;
}

/** Return the jobs read so far, and the ids of jobs that do not exist. */
export function useSides(ids: string[], withTimes: boolean): Found {
  const [found, setFound] = useState<Found>({ sides: new Map(), missing: new Set() });
  const held = useRef({ language: language.value, found });
  usePoll(
    async (isCurrent) => {
      if (held.current.language !== language.value) {
        held.current = { language: language.value, found: { sides: new Map(), missing: new Set() } };
      }
      const before = held.current.found;
      const requested = ids.filter((id) => !before.missing.has(id));
      const read = await Promise.allSettled(requested.map((id) => readSide(id, before.sides.get(id), withTimes)));
      if (!isCurrent()) return null;
      const now: Found = { sides: new Map(before.sides), missing: new Set(before.missing) };
      read.forEach((one, at) => addResult(now, requested[at]!, one));
      held.current.found = now;
      setFound(now);
      const hasEnded = (id: string): boolean => now.sides.has(id) && isFinal(now.sides.get(id)!.job);
      return ids.every((id) => now.missing.has(id) || hasEnded(id)) ? null : POLL_MS;
    },
    [ids.join(","), language.value, withTimes],
  );
  return found;
}

function addResult(found: Found, id: string, read: PromiseSettledResult<Side>): void {
  if (read.status === "fulfilled") found.sides.set(id, read.value);
  else if (read.reason instanceof ApiError && read.reason.status === 404) {
    found.sides.delete(id);
    found.missing.add(id);
  }
}

export const nameOf = (job: Job): string => job.name ?? job.id;

/** Return the CSS variable with the color of the n-th job. */
export const colorOf = (n: number): string => `--side-${(n % 12) + 1}`;
