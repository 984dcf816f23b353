// The comparison of two to six jobs: their losses in one plot, their results, and the settings that differ.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, get, isFinal, type Job, type Summary } from "../api";
import { type Curve, Series, smooth } from "../curve";
import { count, duration, figure, NONE } from "../format";
import { readCurve, readNewPoints, type Range } from "../history";
import { language } from "../preferences";
import { ChartControls } from "../parts/chart-controls";
import { Card, Path, Status, useKeys } from "../parts/controls";
import { type Line, Plot } from "../parts/plot";
import { usePoll } from "../parts/poll";
import { query, setQuery } from "../router";
import { asText, leaves, same, type Tree } from "../spec";
import { say } from "../texts/say";
import { COMPARE } from "../texts/compare";
import { SHARED } from "../texts/shared";

const COLORS = ["--train", "--eval", "--norm", "--rate", "--good", "--bad"];
const POINTS = 1000;
const POLL_MS = 2000;

interface Side {
  job: Job;
  curve: Curve;
  cursor: string;
  summary: Summary | null;
}

async function readSide(id: string, held: Side | undefined): Promise<Side> {
  const job = await get<Job>(`/v1/jobs/${id}`);
  let side: Side;
  if (held) {
    const { cursor } = isFinal(held.job) ? held : await readNewPoints(id, held.curve, held.cursor);
    side = { ...held, job, cursor };
  } else side = { job, summary: null, ...(await readCurve(id, null, POINTS)) };
  if (job.status === "succeeded" && !side.summary) side.summary = await get<Summary>(`/v1/jobs/${id}/summary`);
  return side;
}

interface Found {
  sides: Map<string, Side>;
  /** Ids of jobs that do not exist; they are not requested again. */
  missing: Set<string>;
}

/** Return the jobs read so far, and the ids of jobs that do not exist. */
function useSides(ids: string[]): Found {
  const [found, setFound] = useState<Found>({ sides: new Map(), missing: new Set() });
  const key = ids.join(",") + language.value;
  const held = useRef({ key: "", found });
  usePoll(
    async (isCurrent) => {
      if (held.current.key !== key) held.current = { key, found: { sides: new Map(), missing: new Set() } };
      const before = held.current.found;
      const requested = ids.filter((id) => !before.missing.has(id));
      const read = await Promise.allSettled(requested.map((id) => readSide(id, before.sides.get(id))));
      if (!isCurrent()) return null;
      const now: Found = { sides: new Map(before.sides), missing: new Set(before.missing) };
      read.forEach((one, at) => addResult(now, requested[at]!, one));
      held.current.found = now;
      setFound(now);
      const hasEnded = (id: string): boolean => now.sides.has(id) && isFinal(now.sides.get(id)!.job);
      return ids.every((id) => now.missing.has(id) || hasEnded(id)) ? null : POLL_MS;
    },
    [key],
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

export function ComparePage() {
  const ids = [...new Set((query.value.get("ids") ?? "").split(",").filter(Boolean))].slice(0, 6);
  const found = useSides(ids);
  const sides = ids.map((id) => found.sides.get(id)).filter((side): side is Side => side !== undefined);
  const missing = ids.filter((id) => found.missing.has(id));
  useEffect(() => {
    document.title = `${say(SHARED.compare)} · Stepline`;
  }, [language.value]);
  if (ids.length < 2) {
    return (
      <div class="empty">
        <b>{say(COMPARE.too_few)}</b>
        <a href="/">{say(SHARED.back_to_jobs)}</a>
      </div>
    );
  }
  if (sides.length + missing.length === 0) return <p class="note">{say(SHARED.loading)}</p>;
  return (
    <>
      <header class="page">
        <h1>{sides.length < 2 ? say(SHARED.compare) : say(COMPARE.title, { n: sides.length })}</h1>
      </header>
      {missing.map((id) => (
        <p key={id} class="problem" role="alert">
          {say(SHARED.not_found_job, { id })}
        </p>
      ))}
      {sides.length > 0 ? <Overlay sides={sides} /> : <a href="/">{say(SHARED.back_to_jobs)}</a>}
      <Results sides={sides} />
      {sides.length > 1 && <Settings sides={sides} />}
    </>
  );
}

function nameOf(job: Job): string {
  return job.name ?? job.id;
}

function Overlay({ sides }: { sides: Side[] }) {
  const isLog = query.value.get("log") === "1";
  const given = query.value.get("smooth");
  const smoothing = given === null ? 0.6 : Math.min(0.99, Math.max(0, Number(given) || 0));
  const [from, to] = [Number(query.value.get("from")), Number(query.value.get("to"))];
  const range: Range | null = to > from ? { from, to } : null;
  const toggleLog = (): void => setQuery({ log: isLog ? null : "1" });
  const onRange = (to: Range | null): void => setQuery({ from: to && String(to.from), to: to && String(to.to) });
  useKeys({ l: toggleLog, w: () => onRange(null) });
  const lines = useMemo(
    () =>
      sides.flatMap(({ job, curve }, at): Line[] => {
        const loss = smooth(curve.of("loss"), smoothing);
        const evals = curve.of("eval_loss");
        const color = COLORS[at]!;
        return [
          { name: nameOf(job), series: new Series([...loss.step], [...loss.value]), color, width: 2 },
          {
            name: `${nameOf(job)} · ${say(SHARED.eval_loss)}`,
            series: new Series([...evals.step], [...evals.value]),
            color,
            width: 1,
            opacity: 0.6,
            dots: true,
          },
        ];
      }),
    [sides.map((side) => side.cursor).join(), smoothing, language.value],
  );
  return (
    <Card
      title={say(SHARED.chart_loss)}
      aside={
        <>
          <ChartControls
            smoothing={smoothing}
            isLog={isLog}
            isZoomed={range !== null}
            onSmoothing={(to) => setQuery({ smooth: String(to) })}
            onLog={toggleLog}
            onResetZoom={() => onRange(null)}
          />
        </>
      }
    >
      <dl class="readout">
        {sides.map(({ job, curve }, at) => (
          <div key={job.id}>
            <dt>
              <i style={{ background: `var(${COLORS[at]})` }} aria-hidden="true" />
              <a href={`/jobs/${job.id}`}>{nameOf(job)}</a>
            </dt>
            <dd>{figure(curve.of("loss").last()?.value)}</dd>
          </div>
        ))}
      </dl>
      {lines.length > 0 && (
        <Plot
          label={say(SHARED.chart_loss)}
          lines={lines}
          height={340}
          log={isLog}
          range={range}
          format={(value) => String(+value.toPrecision(4))}
          onRange={onRange}
        />
      )}
      <p class="note">{say(SHARED.zoom_hint)}</p>
    </Card>
  );
}

/** The header of a table with one column per job. If `baseline` is given, each column has a button that makes its job the baseline. */
function Columns({ sides, baseline }: { sides: Side[]; baseline?: string | undefined }) {
  return (
    <thead>
      <tr>
        <th />
        {sides.map(({ job }, at) => (
          <th key={job.id}>
            <i class="swatch" style={{ background: `var(${COLORS[at]})` }} aria-hidden="true" />{" "}
            <span class="cut" title={nameOf(job)}>
              {nameOf(job)}
            </span>{" "}
            {baseline !== undefined &&
              (job.id === baseline ? (
                <span class="label on">{say(COMPARE.baseline)}</span>
              ) : (
                <button
                  type="button"
                  class="small"
                  aria-label={say(COMPARE.make_baseline, { name: nameOf(job) })}
                  title={say(COMPARE.make_baseline, { name: nameOf(job) })}
                  onClick={() => setQuery({ baseline: job.id })}
                >
                  {say(COMPARE.baseline)}
                </button>
              ))}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Results({ sides }: { sides: Side[] }) {
  const baselineId = query.value.get("baseline");
  const baseline = sides.find(({ job }) => job.id === baselineId) ?? sides[0];
  if (!baseline) return null;
  const seconds = ({ job }: Side): number | null =>
    job.started_at
      ? ((job.ended_at ? Date.parse(job.ended_at) : Date.now()) - Date.parse(job.started_at)) / 1000
      : null;
  const evalLoss = (side: Side): number | null =>
    side.summary?.eval_loss ?? side.curve.of("eval_loss").last()?.value ?? null;
  const rows: [string, (side: Side) => number | null, (value: number | null) => string][] = [
    [say(COMPARE.last_loss), ({ curve }) => curve.of("loss").last()?.value ?? null, figure],
    [say(COMPARE.best_loss), ({ curve }) => curve.of("loss").lowest()?.value ?? null, figure],
    [say(SHARED.eval_loss), evalLoss, figure],
    [say(COMPARE.perplexity), (side) => mapped(evalLoss(side), Math.exp), (value) => figure(value, 2)],
    [say(SHARED.speed), ({ summary }) => summary?.tokens_per_second ?? null, count],
    [say(COMPARE.duration), seconds, duration],
  ];
  return (
    <Card title={say(COMPARE.results)}>
      <div class="scroll">
        <table>
          <Columns sides={sides} baseline={baseline.job.id} />
          <tbody>
            <tr>
              <th scope="row">{say(SHARED.status)}</th>
              {sides.map(({ job }) => (
                <td key={job.id}>
                  <Status job={job} />
                </td>
              ))}
            </tr>
            <tr>
              <th scope="row">{say(COMPARE.steps)}</th>
              {sides.map(({ job }) => (
                <td key={job.id}>{count(job.progress.step)}</td>
              ))}
            </tr>
            {rows.map(([name, read, format]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                {sides.map((side) => {
                  const [value, reference] = [read(side), read(baseline)];
                  const change =
                    side !== baseline && value !== null && reference ? ((value - reference) / reference) * 100 : null;
                  return (
                    <td key={side.job.id}>
                      {value === null ? NONE : format(value)}
                      {change !== null && <small> {`${change >= 0 ? "+" : "−"}${Math.abs(change).toFixed(1)}%`}</small>}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

const mapped = (value: number | null, map: (value: number) => number): number | null =>
  value === null ? null : map(value);

function Settings({ sides }: { sides: Side[] }) {
  const specs = sides.map(({ job }) => leaves(job.spec as Tree));
  const paths = [...new Set(specs.flatMap((spec) => [...spec.keys()]))];
  const differing = paths.filter(
    (path) => path !== "name" && specs.some((spec) => !same(spec.get(path), specs[0]?.get(path))),
  );
  return (
    <Card title={say(COMPARE.differing)}>
      {differing.length === 0 ? (
        <p class="note">{say(COMPARE.no_differing)}</p>
      ) : (
        <div class="scroll">
          <table class="differing">
            <Columns sides={sides} />
            <tbody>
              {differing.map((path) => (
                <tr key={path}>
                  <th scope="row">
                    <code>
                      <Path of={path} />
                    </code>
                  </th>
                  {specs.map((spec, at) => (
                    <td key={sides[at]!.job.id}>{asText(spec.get(path))}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}
