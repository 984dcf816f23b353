// The comparison of jobs.
import { texts } from "./say";

export const COMPARE = texts({
  title: ["Comparison of {n} jobs", "{n} 个任务的对比"],
  too_few: ["Select two to six jobs in the list.", "请在列表中选中 2 到 6 个任务。"],
  baseline: ["baseline", "基准"],
  make_baseline: ["Use {name} as the baseline", "以 {name} 为基准"],

  results: ["Results", "结果"],
  steps: ["Steps", "步数"],
  last_loss: ["Last loss", "最新损失"],
  best_loss: ["Best loss", "最低损失"],
  perplexity: ["Perplexity", "困惑度"],
  duration: ["Duration", "用时"],

  differing: ["Different settings", "不同的配置项"],
  no_differing: ["These jobs have the same settings.", "这些任务的配置完全相同。"],
});
