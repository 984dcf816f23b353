// The list of jobs.
import { texts } from "./say";

export const JOBS = texts({
  search: ["Search", "搜索"],
  search_jobs: ["Name, model or id", "名称、模型或编号"],
  label: ["Label", "标签"],

  job: ["Job", "任务"],
  loss: ["Loss", "损失"],
  left: ["Time left", "剩余时间"],
  created: ["Submitted", "提交时间"],

  choose_to_compare: ["Select {name} for comparison", "选中 {name} 以对比"],
  compare_chosen: ["Compare {n} jobs", "对比 {n} 个任务"],
  compare_hint: ["Select two to six jobs to compare", "选中 2 到 6 个任务进行对比"],
  older: ["Older", "更早"],
  newest: ["Newest", "最新"],

  no_jobs: ["No jobs yet", "还没有任务"],
  no_jobs_hint: ["Submit the first one with the form, or from a shell:", "用表单提交第一个任务，或在命令行执行："],
  no_match: ["No job matches these filters.", "没有符合筛选条件的任务。"],
  searched: ["{n} jobs searched; older jobs remain.", "已搜索 {n} 个任务，还有更早的任务未搜索。"],
  search_older: ["Search older jobs", "继续搜索更早的任务"],
  clear_filters: ["Clear the filters", "清除筛选条件"],
});
