// Texts of several pages.
import { texts } from "./say";

export const SHARED = texts({
  jobs: ["Jobs", "任务"],
  workers: ["Workers", "工作节点"],
  new_job: ["New job", "新建任务"],
  compare: ["Compare", "对比"],
  loading: ["Loading …", "加载中……"],
  not_found_job: ["There is no job {id}. It may have been deleted.", "任务 {id} 不存在，可能已被删除。"],
  back_to_jobs: ["Back to the jobs", "返回任务列表"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],
  no: ["No", "返回"],

  status: ["Status", "状态"],
  queue_place: ["number {n} in the queue", "队列第 {n} 位"],
  queue_place_above: ["beyond number {n} in the queue", "队列第 {n} 位之后"],
  label_example: ["key:value", "键:值"],
  label_malformed: ["Write a label as key:value.", "标签格式为 键:值。"],

  progress: ["Progress", "进度"],
  rows_evaluated_base: [
    "Evaluating the base model: {done} of {total} rows ({percent} %)",
    "正在评估基座模型：{done} / {total} 行（{percent}%）",
  ],
  rows_evaluated: ["Evaluating: {done} of {total} rows ({percent} %)", "正在评估：{done} / {total} 行（{percent}%）"],
  rows_tokenized: ["Tokenizing: {done} of {total} rows ({percent} %)", "正在分词：{done} / {total} 行（{percent}%）"],
  rows_left: [", {time} left", "，剩余 {time}"],
  rows_of: ["{done} / {total} rows", "{done} / {total} 行"],
  phase_left: ["{time} in this phase", "本阶段剩余 {time}"],

  loss_trend: ["Loss trend", "损失走势"],
  eval_loss: ["Eval loss", "评估损失"],
  speed: ["Tokens / s", "词元/秒"],
  chart_loss: ["Train and eval loss by step", "训练与评估损失（按步）"],
  smoothing: ["Smoothing", "平滑"],
  log_scale: ["Log scale", "对数坐标"],
  whole_run: ["Whole run", "全程"],
  zoom_hint: ["Drag to zoom, double-click for the whole run", "拖动放大，双击还原"],
});
