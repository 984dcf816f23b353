// A forecast: tokens, memory and duration on each worker, disk space, warnings. Unknown figures show their reason.
import type { ComponentChildren } from "preact";
import type { components } from "../../api";
import { bytes, count, duration } from "../../format";
import { PLAN } from "../../texts/plan";
import { say } from "../../texts/say";
import { Facts } from "../facts";

export type ForecastData = components["schemas"]["Forecast"];
type Quantity = components["schemas"]["Quantity"];
type Worker = components["schemas"]["WorkerForecast"];
type Row = [name: string, value: ComponentChildren];

/** The workers that the job fits on come first, in order of speed. */
const SHOWN = 3;

export function Forecast({ forecast }: { forecast: ForecastData }) {
  const { tokens, workers, offline_workers, disk, warnings } = forecast;
  const several = workers.length > 1;
  const rows: Row[] = [
    [
      say(PLAN.tokens),
      <Known of={tokens.training.value == null ? tokens.per_row : tokens.training} show={sayTokens(tokens)} />,
    ],
    [say(PLAN.supervised), tokens.supervised_share.value != null && percent(tokens.supervised_share.value)],
    [
      say(PLAN.padding),
      tokens.padding_saved.value != null &&
        say(PLAN.padding_of, { percent: (100 * tokens.padding_saved.value).toFixed(0) }),
    ],
    [
      say(PLAN.checkpoints),
      disk.total_bytes.value != null &&
        say(PLAN.checkpoints_of, {
          n: disk.most_checkpoints,
          each: bytes(disk.checkpoint_bytes.value),
          all: bytes(disk.total_bytes.value),
        }),
    ],
  ];
  return (
    <div class="forecast">
      <Facts class="settings facts" rows={rows} />
      {workers.slice(0, SHOWN).map((worker) => (
        <section key={worker.worker} class={worker.fits === false ? "too-small" : undefined}>
          {several && (
            <h3>
              {worker.worker} <small>{worker.device}</small>
            </h3>
          )}
          <Facts class="settings facts" rows={workerRows(worker)} />
        </section>
      ))}
      {workers.length > SHOWN && <p class="note">{say(PLAN.more_workers, { n: workers.length - SHOWN })}</p>}
      {offline_workers?.slice(0, SHOWN).map((worker) => (
        <section key={worker.worker} class="too-small">
          <h3>
            {worker.worker} <small>{say(PLAN.offline, { device: worker.device })}</small>
          </h3>
          <Facts class="settings facts" rows={workerRows(worker)} />
        </section>
      ))}
      {warnings.map((warning) => (
        <p key={warning.code} class="warning">
          {warning.message}
        </p>
      ))}
    </div>
  );
}

function workerRows(worker: Worker): Row[] {
  const micro = worker.micro_batch_tokens;
  return [
    [say(PLAN.duration), <Known of={worker.seconds} show={range(duration)} />],
    [
      say(PLAN.peak_memory),
      <>
        <Known
          of={worker.peak_memory_bytes}
          show={(quantity) => {
            const peak = range(bytes)(quantity);
            return worker.memory_bytes ? say(PLAN.memory_of, { peak, all: bytes(worker.memory_bytes) }) : peak;
          }}
        />
        {worker.fits === false && <b class="problem"> {say(PLAN.does_not_fit)}</b>}
      </>,
    ],
    [
      say(PLAN.micro_batch),
      micro != null &&
        [say(PLAN.micro_batch_of, { tokens: count(micro) }), worker.activation_checkpointing && say(PLAN.recomputed)]
          .filter(Boolean)
          .join(" · "),
    ],
  ];
}

/** A figure with its basis as a tooltip, or the reason why it is unknown. */
function Known({ of, show }: { of: Quantity; show: (quantity: Quantity) => string }) {
  if (of.value == null) return <small class="note">{of.reason?.message || say(PLAN.unknown)}</small>;
  return <span title={of.basis ? say(PLAN[`basis_${of.basis}`]) : undefined}>{show(of)}</span>;
}

const sayTokens =
  ({ training, per_row }: ForecastData["tokens"]) =>
  (): string => {
    const row = per_row.value == null ? "" : count(per_row.value);
    if (training.value == null) return say(PLAN.tokens_per_row, { row });
    return say(PLAN.tokens_of, { all: count(training.value), row });
  };

const range =
  (format: (value: number) => string) =>
  ({ value, low, high }: Quantity): string =>
    say(PLAN.range, { value: format(value!), low: format(low ?? value!), high: format(high ?? value!) });

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
