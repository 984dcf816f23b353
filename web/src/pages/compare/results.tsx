// The table of the compared jobs: the settings that differ, the results with their change from the baseline, and the other settings.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { Series } from "../../history/curve";
import { count, duration, figure } from "../../format";
import { Card, Path, Status } from "../../parts/controls";
import { language } from "../../preferences";
import { query, setQuery } from "../../router";
import { asText, leaves, same, type Tree } from "../../spec";
import { COMPARE } from "../../texts/compare";
import { say } from "../../texts/say";
import { SHARED } from "../../texts/shared";
import { colorOf, nameOf, type Side } from "./sides";

/** Whether a smaller or a larger value is better. */
type Better = "less" | "more";

interface Figure {
  name: string;
  better: Better;
  read: (side: Side) => number | null;
  format: (value: number | null) => string;
}

export function Results({ sides }: { sides: Side[] }) {
  const chosen = query.value.get("baseline");
  const baseline = sides.find(({ job }) => job.id === chosen) ?? sides[0];
  // The other parameters of the URL, such as the hidden lines, do not change the table.
  return useMemo(
    () => baseline && <ResultsTable sides={sides} baseline={baseline} />,
    [...sides, baseline, language.value],
  );
}

function ResultsTable({ sides, baseline }: { sides: Side[]; baseline: Side }) {
  const settings = compareSettings(sides);
  return (
    <Card title={say(COMPARE.results)}>
      <div class="scroll">
        <table class="compared">
          <Columns sides={sides} baseline={baseline.job.id} />
          {sides.length > 1 && (
            <tbody class="differing">
              <Group title={say(COMPARE.differing)} span={sides.length + 1} />
              {settings.differing.map(({ path, values }) => (
                <Row key={path} title={<Path of={path} />} isCode>
                  {values.map((value, at) => (
                    <Cell
                      key={sides[at]!.job.id}
                      side={sides[at]!}
                      baseline={baseline}
                      differs={!same(value, values[sides.indexOf(baseline)])}
                    >
                      {asText(value)}
                    </Cell>
                  ))}
                </Row>
              ))}
              {settings.differing.length === 0 && (
                <tr>
                  <td colSpan={sides.length + 1} class="note">
                    {say(COMPARE.no_differing)}
                  </td>
                </tr>
              )}
            </tbody>
          )}
          <tbody>
            <Group title={say(COMPARE.results)} span={sides.length + 1} />
            <Row title={say(SHARED.status)}>
              {sides.map((side) => (
                <Cell key={side.job.id} side={side} baseline={baseline}>
                  <Status job={side.job} />
                </Cell>
              ))}
            </Row>
            <Row title={say(COMPARE.steps)}>
              {sides.map((side) => (
                <Cell key={side.job.id} side={side} baseline={baseline}>
                  {count(side.job.progress.step)}
                </Cell>
              ))}
            </Row>
            {sides.some((side) => side.summary) && (
              <Row title={say(COMPARE.adapter_step)}>
                {sides.map((side) => (
                  <Cell key={side.job.id} side={side} baseline={baseline}>
                    {count(side.summary?.adapter_step)}
                  </Cell>
                ))}
              </Row>
            )}
            {figures().map((one) => (
              <FigureRow key={one.name} figure={one} sides={sides} baseline={baseline} />
            ))}
          </tbody>
        </table>
      </div>
      {sides.length > 1 && settings.equal.length > 0 && (
        <details>
          <summary>{say(COMPARE.equal, { n: settings.equal.length })}</summary>
          <dl class="settings">
            {settings.equal.map(({ path, values }) => (
              <div key={path}>
                <dt>
                  <Path of={path} />
                </dt>
                <dd>{asText(values[0])}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </Card>
  );
}

/** The header: one column per job, with a button that makes it the baseline. */
function Columns({ sides, baseline }: { sides: Side[]; baseline: string }) {
  return (
    <thead>
      <tr>
        <th />
        {sides.map(({ job }, at) => (
          <th key={job.id} scope="col" class={job.id === baseline ? "baseline" : ""}>
            <i class="swatch" style={{ background: `var(${colorOf(at)})` }} aria-hidden="true" />{" "}
            <a class="cut" href={`/jobs/${job.id}`} title={nameOf(job)}>
              {nameOf(job)}
            </a>{" "}
            {job.id === baseline ? (
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
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Group({ title, span }: { title: string; span: number }) {
  return (
    <tr class="group">
      <th scope="rowgroup" colSpan={span}>
        <span>{title}</span>
      </th>
    </tr>
  );
}

function Row({ title, isCode, children }: { title: ComponentChildren; isCode?: boolean; children: ComponentChildren }) {
  return (
    <tr>
      <th scope="row">{isCode ? <code>{title}</code> : title}</th>
      {children}
    </tr>
  );
}

interface CellProps {
  side: Side;
  baseline: Side;
  /** Whether the value differs from the baseline's. */
  differs?: boolean;
  children: ComponentChildren;
}

/** A job's value. The baseline's column stays visible when the table is scrolled. */
function Cell({ side, baseline, differs, children }: CellProps) {
  return <td class={side === baseline ? "baseline" : differs ? "differs" : ""}>{children}</td>;
}

/** Return the evaluations, excluding the untrained base's at step 0. */
function trainedEvals({ curve }: Side): Series {
  const { step, value } = curve.of("eval_loss");
  const from = step.findIndex((one) => one > 0);
  return from < 0 ? new Series() : new Series(step.slice(from), value.slice(from));
}

function figures(): Figure[] {
  const evalLoss = (side: Side): number | null => side.summary?.eval_loss ?? trainedEvals(side).last()?.value ?? null;
  const perplexity = (side: Side): number | null => {
    const loss = evalLoss(side);
    return loss === null ? null : Math.exp(loss);
  };
  return [
    { name: say(SHARED.eval_loss), better: "less", read: evalLoss, format: figure },
    {
      name: say(COMPARE.best_eval_loss),
      better: "less",
      read: (side) => trainedEvals(side).lowest()?.value ?? null,
      format: figure,
    },
    { name: say(COMPARE.perplexity), better: "less", read: perplexity, format: (value) => figure(value, 2) },
    {
      name: say(COMPARE.last_loss),
      better: "less",
      read: ({ curve }) => curve.of("loss").last()?.value ?? null,
      format: figure,
    },
    {
      name: say(COMPARE.best_loss),
      better: "less",
      read: ({ curve }) => curve.of("loss").lowest()?.value ?? null,
      format: figure,
    },
    {
      name: say(SHARED.speed),
      better: "more",
      read: ({ summary }) => summary?.tokens_per_second ?? null,
      format: count,
    },
    {
      name: say(COMPARE.duration),
      better: "less",
      read: ({ summary }) => summary?.duration_seconds ?? null, // only for finished runs; excludes time paused or queued
      format: duration,
    },
  ];
}

/** One result of every job; the best is bold. A result that no job has is omitted. */
function FigureRow({
  figure: { name, better, read, format },
  sides,
  baseline,
}: {
  figure: Figure;
  sides: Side[];
  baseline: Side;
}) {
  const values = sides.map(read);
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return null;
  const best = better === "less" ? Math.min(...known) : Math.max(...known);
  const reference = read(baseline);
  return (
    <Row title={name}>
      {sides.map((side, at) => {
        const value = values[at]!;
        const text = format(value);
        return (
          <Cell key={side.job.id} side={side} baseline={baseline}>
            {value === best && known.length > 1 ? <b>{text}</b> : text}
            {value !== null && side !== baseline && reference ? (
              <Change value={value} reference={reference} better={better} />
            ) : null}
          </Cell>
        );
      })}
    </Row>
  );
}

/** The change from the baseline, with its sign. Its color shows whether it is an improvement; screen readers get this as text. */
function Change({ value, reference, better }: { value: number; reference: number; better: Better }) {
  const percent = ((value - reference) / Math.abs(reference)) * 100;
  const shown = Math.abs(percent).toFixed(1);
  if (shown === "0.0") return <small> ±0.0%</small>;
  const isBetter = percent < 0 === (better === "less");
  return (
    <small class={isBetter ? "change better" : "change worse"} title={say(isBetter ? COMPARE.better : COMPARE.worse)}>
      {" "}
      {percent < 0 ? "−" : "+"}
      {shown}%<span class="hidden"> ({say(isBetter ? COMPARE.better : COMPARE.worse)})</span>
    </small>
  );
}

interface Setting {
  path: string;
  values: unknown[];
}

function compareSettings(sides: Side[]): { differing: Setting[]; equal: Setting[] } {
  const specs = sides.map(({ job }) => leaves(job.spec as Tree));
  const paths = [...new Set(specs.flatMap((spec) => [...spec.keys()]))].filter((path) => path !== "name");
  const all = paths.map((path) => ({ path, values: specs.map((spec) => spec.get(path)) }));
  const isEqual = ({ values }: Setting): boolean => values.every((value) => same(value, values[0]));
  return { differing: all.filter((one) => !isEqual(one)), equal: all.filter(isEqual) };
}
