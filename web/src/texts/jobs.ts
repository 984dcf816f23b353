// Text for the job list.
import { texts } from "./say";

export const JOBS = texts({
  search: ["Search", "搜索"],
  search_jobs: ["Name, model or ID", "名称、模型或 ID"],
  label: ["Label", "标签"],

  job: ["Job", "任务"],
  loss: ["Loss", "loss"],
  left: ["Time left", "剩余时间"],
  created: ["Submitted", "提交时间"],

  choose_to_compare: ["Select {name} for comparison", "将 {name} 加入对比"],
  compare_hint: ["Select two to twelve jobs to compare", "选择 2 到 12 个任务进行对比"],
  older: ["Older", "更早"],
  newest: ["Newest", "最新"],

  no_jobs: ["No jobs yet", "还没有任务"],
  no_jobs_hint: ["Submit the first one with the form, or from a shell:", "通过表单提交第一个任务，或在命令行执行："],
  no_match: ["No jobs match these filters.", "没有符合筛选条件的任务。"],
  searched: ["Searched {n} jobs so far.", "已搜索 {n} 个任务，更早的任务尚未搜索。"],
  search_older: ["Search older jobs", "继续搜索更早的任务"],
  clear_filters: ["Clear the filters", "清除筛选"],
});
