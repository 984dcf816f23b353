// The report of a job that has succeeded. The server's boxed text can be copied, and downloaded as Markdown.
import { getText, type Summary } from "../../../api";
import { bytes, clock, count, duration, figure, percent, rate, shortId } from "../../../format";
import { Card, CopyButton } from "../../../parts/controls";
import { Facts } from "../../../parts/facts";
import { language } from "../../../preferences";
import { REPORT } from "../../../texts/job/report";
import { say } from "../../../texts/say";
import { SHARED } from "../../../texts/shared";

export function Report({ id, summary }: { id: string; summary: Summary }) {
  const path = `/v1/jobs/${id}/summary?lang=${language.value}`;
  return (
    <Card
      title={say(REPORT.report)}
      aside={
        <>
          <CopyButton text={() => getText(path)}>{say(REPORT.copy_text)}</CopyButton>
          <a class="button" href={`${path}&format=markdown`} download={`${id}.md`}>
            Markdown
          </a>
        </>
      }
    >
      <div class="report">
        {sections(summary).map(([title, rows]) => (
          <section key={title}>
            <h3>{title}</h3>
            <Facts rows={rows} />
          </section>
        ))}
      </div>
      <Windows summary={summary} />
    </Card>
  );
}

type Row = [name: string, value: string | null];

/** Return the figures in groups; a value that was not measured is null. */
function sections(summary: Summary): [title: string, rows: Row[]][] {
  const share = summary.trainable_share;
  const batch = [summary.per_device_batch_size, summary.gradient_accumulation_steps];
  return [
    [
      say(REPORT.losses),
      [
        [say(REPORT.eval_loss_before), optional(summary.base_eval_loss, figure)],
        [say(REPORT.eval_loss_after, { step: count(summary.adapter_step) }), figure(summary.eval_loss)],
        [say(REPORT.perplexity), optional(Number(summary.perplexity), (value) => figure(value, 2))],
        [say(REPORT.accuracy), accuracies(summary)],
        [say(REPORT.mean_train_loss), figure(summary.train_loss)],
      ],
    ],
    [
      say(REPORT.run),
      [
        [say(REPORT.finished_at), clock(summary.finished_at)],
        [say(REPORT.training_time), duration(summary.duration_seconds)],
        [say(REPORT.steps), count(summary.steps)],
        [say(REPORT.device), summary.device ?? null],
        [say(SHARED.speed), optional(summary.tokens_per_second, count)],
        [say(REPORT.peak_memory), optional(summary.peak_memory_bytes, bytes)],
      ],
    ],
    [
      say(REPORT.recipe),
      [
        [say(REPORT.model), summary.model],
        [say(REPORT.lora), say(REPORT.lora_of, { rank: summary.lora_rank, alpha: summary.lora_alpha })],
        [say(REPORT.trainable), say(REPORT.trainable_of, trainable(summary, share))],
        [say(REPORT.four_bit), optional(summary.quantized_layers, count)],
        [say(REPORT.batch), `${batch[0]} × ${batch[1]} = ${batch[0]! * batch[1]!}`],
        [say(REPORT.schedule), `${rate(summary.learning_rate)} (${summary.lr_scheduler})`],
        [say(REPORT.data), say(REPORT.data_of, { train: count(summary.train_rows), eval: count(summary.eval_rows) })],
        ...mixture(summary),
      ],
    ],
  ];
}

/** Return the training datasets of a mixed run, and how many rows each contributes to an epoch. */
function mixture(summary: Summary): Row[] {
  return (summary.mixture ?? []).map(({ dataset, weight, rows, used_rows }) => [
    `${dataset.startsWith("ds_") ? shortId(dataset) : dataset} × ${weight}`,
    say(REPORT.mixture_of, { used: count(used_rows), rows: count(rows) }),
  ]);
}

/** Return the token accuracies before and after training; null if they were not measured. */
function accuracies(summary: Summary): string | null {
  const { base_eval_token_accuracy: before, eval_token_accuracy: after } = summary;
  return before == null || after == null ? null : `${percent(before)} → ${percent(after)}`;
}

function trainable(summary: Summary, share: number) {
  const shown = `${(100 * share).toFixed(2)} %`;
  return { trainable: count(summary.trainable_parameters), all: count(summary.all_parameters), share: shown };
}

function optional(value: number | null | undefined, format: (value: number) => string): string | null {
  return value == null ? null : format(value);
}

/** The mean train loss of each window. */
function Windows({ summary }: { summary: Summary }) {
  const windows = summary.windows ?? [];
  if (windows.length < 2) return null;
  return (
    <section class="windows">
      <h3>{say(REPORT.mean_window)}</h3>
      <ol>
        {windows.map((one) => (
          <li key={one.step}>
            <span>{say(REPORT.at_step, { step: count(one.step) })}</span> <b>{figure(one.loss)}</b>
          </li>
        ))}
      </ol>
    </section>
  );
}
