// Text for the page that compares jobs.
import { texts } from "./say";

export const COMPARE = texts({
  title: ["Comparison of {n} jobs", "任务对比（{n} 个）"],
  too_few: ["Select two to six jobs in the list.", "请在任务列表中选择 2 到 6 个任务。"],
  baseline: ["baseline", "基准"],
  make_baseline: ["Use {name} as the baseline", "将 {name} 设为基准"],

  results: ["Results", "结果"],
  steps: ["Steps", "步数"],
  last_loss: ["Last loss", "最新 loss"],
  best_loss: ["Best loss", "最低 loss"],
  perplexity: ["Perplexity", "困惑度"],
  duration: ["Duration", "用时"],

  differing: ["Settings that differ", "配置差异"],
  no_differing: ["These jobs have the same settings.", "这些任务的配置完全相同。"],
});
