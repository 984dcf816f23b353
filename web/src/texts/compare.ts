// Text for the comparison of jobs, and for the bar with the selected ones.
import { texts } from "./say";

export const COMPARE = texts({
  title: ["Comparison of {n} jobs", "任务对比（{n} 个）"],
  too_few: ["Select two to twelve jobs in the list.", "请在任务列表中选择 2 到 12 个任务。"],
  too_many: ["{n} jobs are selected; the page compares the first twelve.", "已选择 {n} 个任务，此处仅对比前 12 个。"],
  change: ["Change the selection", "更改所选任务"],
  baseline: ["baseline", "基准"],
  make_baseline: ["Use {name} as the baseline", "将 {name} 设为基准"],
  better: ["better than the baseline", "优于基准"],
  worse: ["worse than the baseline", "劣于基准"],
  eval_short: ["eval", "验证"],

  selection: ["Selected jobs", "所选任务"],
  selected: ["{n} selected", "已选 {n} 个"],
  select_more: ["Select 2 to {most} jobs to compare them.", "选择 2 到 {most} 个任务即可对比。"],
  select_fewer: ["Up to {most} jobs can be compared.", "最多可对比 {most} 个任务。"],
  compare_selected: ["Compare {n} jobs", "对比 {n} 个任务"],
  clear: ["Clear the selection", "清除选择"],

  results: ["Results", "结果"],
  steps: ["Steps", "步数"],
  last_loss: ["Last train loss", "最新训练 loss"],
  best_loss: ["Lowest train loss", "最低训练 loss"],
  adapter_step: ["Step of the adapter", "适配器对应步数"],
  best_eval_loss: ["Lowest eval loss", "最低验证 loss"],
  perplexity: ["Perplexity", "困惑度"],
  duration: ["Training time", "训练时长"],

  differing: ["Settings that differ", "配置差异"],
  no_differing: ["These jobs have the same settings.", "这些任务的配置完全相同。"],
  equal: ["{n} {n:setting is|settings are} the same in all jobs", "{n} 项配置在所有任务中相同"],
});
