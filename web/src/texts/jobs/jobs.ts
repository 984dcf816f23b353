// Text for the job list.
import { texts } from "../say";

export const JOBS = texts({
  search: ["Search", "搜索"],
  search_jobs: ["Name, model or ID", "名称、模型或 ID"],
  label: ["Label", "标签"],
  label_hint: ["key:value, or just the key to match any value", "格式为 key:value；只填 key 表示任意值"],
  archived: ["archived", "已归档"],

  job: ["Job", "任务"],
  loss: ["Loss", "loss"],
  eval: ["eval {loss}", "验证 {loss}"],
  took: ["took {time}", "用时 {time}"],
  left: ["Time left", "剩余时间"],
  created: ["Submitted", "提交时间"],

  sort: ["Sort", "排序"],
  sort_status: ["Running, queued, ended", "运行中、排队中、已结束"],
  sort_newest: ["Newest first", "最新提交在前"],
  sort_oldest: ["Oldest first", "最早提交在前"],
  sort_name: ["Name A–Z", "名称升序"],
  sort_name_descending: ["Name Z–A", "名称降序"],
  sort_eval_loss: ["Lowest eval loss", "验证 loss 从低到高"],
  sort_eval_loss_descending: ["Highest eval loss", "验证 loss 从高到低"],
  sort_ended: ["Most recently ended", "最近结束在前"],

  choose_to_compare: ["Select {name} for comparison", "将 {name} 加入对比"],
  select_page: ["Select the jobs on this page", "选择本页任务"],
  select_all: ["Select all that match (up to {most})", "选择全部符合条件的任务（最多 {most} 个）"],
  select_all_failed: ["Selection failed. Try again (up to {most} jobs)", "选择失败，点击重试（最多 {most} 个任务）"],
  compare_hint: ["Select two to twelve jobs to compare", "选择 2 到 12 个任务进行对比"],
  next_page: ["Next page", "下一页"],
  first_page: ["First page", "第一页"],

  no_jobs: ["No jobs yet", "还没有任务"],
  no_jobs_hint: ["Submit the first one with the form, or from a shell:", "通过表单提交第一个任务，或在命令行执行："],
  no_match: ["No jobs match these filters.", "没有符合筛选条件的任务。"],
  all_archived: ["All jobs are archived.", "所有任务都已归档。"],
  searched: ["Searched {n} {n:job|jobs} so far.", "已搜索 {n} 个任务，其余任务尚未搜索。"],
  search_older: ["Search more jobs", "继续搜索"],
  clear_filters: ["Clear the filters", "清除筛选"],

  unserved: [
    'Jobs in the queue "{queue}" are waiting because no online worker of this queue can run them. Start a worker:',
    "队列“{queue}”中的任务正在等待：该队列没有在线且可用的工作节点。启动工作节点：",
  ],
});
