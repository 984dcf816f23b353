// One row of the job list. A click anywhere opens the job; text can still be selected, and a middle click opens a tab.
import { isFinal, type Job, unreachableSince } from "../../api";
import { clock, count, duration, figure, NONE, shortId } from "../../format";
import { Bell } from "../../parts/bell";
import { Progress, Status } from "../../parts/controls";
import { phaseLeft, shortRows } from "../../parts/rows";
import { toggleSelected } from "../../parts/selection";
import { go } from "../../router";
import { say } from "../../texts/say";
import { JOBS } from "../../texts/jobs/jobs";
import { SHARED } from "../../texts/shared";
import { HealthBadge } from "./health-badge";
import { LossTrend } from "./loss-trend";

interface Props {
  job: Job;
  marked: boolean;
  chosen: boolean;
}

/** Return whether a click is on the row itself, not on a control. */
function isOnRow(event: MouseEvent): boolean {
  return !(event.target as Element).closest("a, button, label, input");
}

/** Where the mouse button was last pressed. */
let pressedAt = { x: 0, y: 0 };
const MOST_PIXELS = 4;

/** Return whether the mouse has moved since it was pressed, so that the click ends a text selection. */
function hasMoved(event: MouseEvent): boolean {
  return Math.hypot(event.clientX - pressedAt.x, event.clientY - pressedAt.y) > MOST_PIXELS;
}

const openTab = (path: string): void => void window.open(path, "_blank", "noopener");

/** A row is rendered again only if its properties change, so none of them is a function that is created in each render. */
export function Row({ job, marked, chosen }: Props) {
  const { step, total_steps } = job.progress;
  const name = job.name ?? shortId(job.id);
  const path = `/jobs/${job.id}`;
  const isStarted = job.started_at !== null;
  const isStale = unreachableSince.value !== null && !isFinal(job);
  const message = (job.error ?? job.waiting)?.message;
  return (
    <tr
      class={[marked && "marked", !isStarted && "unstarted", isStale && "stale"].filter(Boolean).join(" ")}
      aria-current={marked ? "true" : undefined}
      onClick={(event) => {
        if (!isOnRow(event) || hasMoved(event)) return;
        if (event.metaKey || event.ctrlKey) openTab(path);
        else if (!event.shiftKey) go(path);
      }}
      onMouseDown={(event) => {
        pressedAt = { x: event.clientX, y: event.clientY };
        if (event.button === 1 && isOnRow(event)) event.preventDefault(); // no automatic scrolling
      }}
      onAuxClick={(event) => {
        if (event.button === 1 && isOnRow(event)) openTab(path);
      }}
    >
      <td>
        <label class="pick">
          <input
            type="checkbox"
            checked={chosen}
            onChange={() => toggleSelected(job.id)}
            aria-label={say(JOBS.choose_to_compare, { name })}
          />
        </label>
      </td>
      <td class="name">
        <a href={path} title={name}>
          {name}
        </a>
        <small>
          {job.spec.model}
          <span class="dataset"> · {datasetName(job)}</span>{" "}
          {Object.entries(job.labels).map(([key, value]) => (
            <span key={key} class="label">
              {key}:{value}
            </span>
          ))}
        </small>
      </td>
      <td class="state">
        <Status job={job} />
        {isStale && <small class="last-known">{say(SHARED.last_known)}</small>}
        <HealthBadge job={job} />
        {message && (
          <small class="cut" title={message}>
            {message}
          </small>
        )}
      </td>
      <td class="amount">
        {isStarted && (
          <>
            <Progress job={job} />
            <small>{shortRows(job) ?? `${count(step)}${total_steps ? ` / ${count(total_steps)}` : ""}`}</small>
          </>
        )}
      </td>
      <td class="course">
        {isStarted && (
          <>
            <LossTrend job={job} />
            <b>{figure(job.last_loss)}</b>
            {job.eval_loss !== null && <small>{say(JOBS.eval, { loss: figure(job.eval_loss) })}</small>}
          </>
        )}
      </td>
      <td class="left">
        {isStale ? (
          // Without a response from the server, the estimate may be wrong by any amount.
          isStarted && NONE
        ) : job.status === "running" ? (
          job.eta_seconds === null && phaseLeft(job) ? (
            <small>{phaseLeft(job)}</small>
          ) : (
            duration(job.eta_seconds)
          )
        ) : job.ended_at && job.run_seconds != null ? (
          <small>{say(JOBS.took, { time: duration(job.run_seconds) })}</small>
        ) : isStarted ? (
          NONE
        ) : null}
      </td>
      <td class="when">
        <small>{clock(job.created_at)}</small>
        <Bell job={job} />
      </td>
    </tr>
  );
}

function datasetName(job: Job): string {
  const train = job.spec.dataset.train;
  const sources = Array.isArray(train) ? train.map((one) => one.dataset) : [train];
  const [first, ...others] = sources.map((one) => (typeof one === "string" ? shortId(one) : one.hub));
  return others.length ? `${first} + ${others.length}` : first!;
}
