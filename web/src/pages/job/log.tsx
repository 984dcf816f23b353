// The newest lines of a job's log, filtered by level and text.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, isFinal, type List, type LogLine, withQuery } from "../../api";
import { clock } from "../../format";
import type { JobStore } from "../../live/store";
import { language } from "../../preferences";
import { query, setQuery } from "../../router";
import { say } from "../../texts/say";
import { JOB } from "../../texts/job/job";
import { Card, onText, useKeys } from "../../parts/controls";
import { usePoll } from "../../parts/poll";

const HELD_LINES = 5000;
const SHOWN_LINES = 1000;
const POLL_MS = 2000;
const LEVELS = ["debug", "info", "warning", "error"];

/** Return the log lines so far; poll until the job has ended. */
export function useLog(store: JobStore): LogLine[] {
  const [lines, setLines] = useState<LogLine[]>([]);
  const ended = store.job.value !== null && isFinal(store.job.value);
  const events = store.events.value.length;
  const cursor = useRef<string | null>(null);
  usePoll(
    async (isCurrent) => {
      try {
        for (let more = true; more && isCurrent();) {
          const page = await get<List<LogLine>>(
            withQuery(`/v1/jobs/${store.id}/logs`, { cursor: cursor.current, limit: 5000 }),
          );
          if (!isCurrent()) return null;
          cursor.current = page.cursor;
          if (page.data.length) setLines((held) => [...held, ...page.data].slice(-HELD_LINES));
          more = page.has_more;
        }
      } catch {
        // The banner already reports that the server is unreachable. The next poll continues from the same cursor.
      }
      return ended && cursor.current !== null ? null : POLL_MS;
    },
    [store.id, ended, ended ? events : 0],
  );
  return lines;
}

export function LogPanel({ store, lines }: { store: JobStore; lines: LogLine[] }) {
  const follow = query.value.get("follow") !== "0";
  const level = query.value.get("level") ?? "";
  const text = query.value.get("find") ?? "";
  const box = useRef<HTMLDivElement>(null);
  const toggle = (): void => setQuery({ follow: follow ? "0" : null });
  useKeys({ f: toggle });

  const lowest = LEVELS.indexOf(level);
  const needle = text.toLowerCase();
  const echoes = new Set(lines.filter((line) => line.source === "record").map(printedForm));
  const matching = lines
    .filter((line) => line.source === "record" || !echoes.has(line.text))
    .filter(
      (line) =>
        (lowest < 0 || LEVELS.indexOf(line.level ?? "") >= lowest) &&
        (!needle || line.text.toLowerCase().includes(needle)),
    );
  const shown = matching.slice(-SHOWN_LINES);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, shown.length, shown[shown.length - 1]]);

  return (
    <Card
      title={say(JOB.log)}
      class="log-card"
      aside={
        <>
          <input
            type="search"
            aria-label={say(JOB.search_log)}
            placeholder={say(JOB.search_log)}
            value={text}
            onInput={onText((to) => setQuery({ find: to }))}
          />
          <select aria-label={say(JOB.level)} value={level} onChange={onText((to) => setQuery({ level: to }))}>
            <option value="">{say(JOB.level_all)}</option>
            <option value="info">{say(JOB.level_info)}</option>
            <option value="warning">{say(JOB.level_warning)}</option>
            <option value="error">{say(JOB.level_error)}</option>
          </select>
          <label class="inline">
            <input type="checkbox" checked={follow} onChange={toggle} />
            {say(JOB.follow)}
          </label>
          <a class="button" href={`/v1/jobs/${store.id}/logs?format=text`} target="_blank" rel="noreferrer">
            {say(JOB.whole_log)}
          </a>
        </>
      }
    >
      <div ref={box} class="log" role="log" aria-label={say(JOB.log)} aria-live="off" tabIndex={0} lang="en">
        {lines.length > 0 && language.value === "zh" && (
          <p class="note" lang={language.value === "zh" ? "zh-CN" : "en"}>
            {say(JOB.log_language)}
          </p>
        )}
        {lines.length === 0 && (
          <p class="note" lang={language.value === "zh" ? "zh-CN" : "en"}>
            {say(JOB.no_log)}
          </p>
        )}
        {lines.length > 0 && shown.length === 0 && (
          <p class="note" lang={language.value === "zh" ? "zh-CN" : "en"}>
            {say(JOB.no_log_match)}
          </p>
        )}
        {matching.length > shown.length && (
          <p class="note" lang={language.value === "zh" ? "zh-CN" : "en"}>
            {say(JOB.log_capped, { n: SHOWN_LINES })}
          </p>
        )}
        {shown.map((line, at) => (
          <div key={`${line.attempt} ${matching.length - shown.length + at}`} class={line.level ?? ""}>
            <time>{clock(line.at, true)}</time>
            <span>{line.text}</span>
          </div>
        ))}
      </div>
    </Card>
  );
}

/** Return the output line in which the training process repeats a recorded line (printed_line in contracts/record.py). */
const printedForm = ({ level, text }: LogLine): string => `[${level}] ${text}`;
