// Text that several pages use.
import { texts } from "./say";

export const SHARED = texts({
  jobs: ["Jobs", "任务"],
  workers: ["Workers", "工作节点"],
  new_job: ["New job", "新建任务"],
  compare: ["Compare", "对比"],
  loading: ["Loading…", "加载中……"],
  not_found_job: ["Job {id} does not exist. It may have been deleted.", "任务 {id} 不存在，可能已被删除。"],
  back_to_jobs: ["Back to the job list", "返回任务列表"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],
  no: ["Go back", "返回"],

  status: ["Status", "状态"],
  last_known: ["last known state", "最近状态"],
  queue_place: ["position {n} in the queue", "队列第 {n} 位"],
  queue_place_above: ["beyond position {n} in the queue", "队列第 {n} 位之后"],
  gpus: ["{n} {n:GPU|GPUs}", "{n} 张 GPU"],
  label_example: ["key:value", "key:value"],
  label_malformed: ["Enter a label as key:value.", "标签格式应为 key:value。"],

  progress: ["Progress", "进度"],
  rows_evaluated_base: [
    "Evaluating the base model: {done} of {total} {total:row|rows} ({percent}%)",
    "正在评估基座模型：{done} / {total} 条（{percent}%）",
  ],
  rows_evaluated: [
    "Evaluating: {done} of {total} {total:row|rows} ({percent}%)",
    "正在评估：{done} / {total} 条（{percent}%）",
  ],
  rows_tokenized: [
    "Tokenizing: {done} of {total} {total:row|rows} ({percent}%)",
    "正在分词：{done} / {total} 条（{percent}%）",
  ],
  rows_left: [", {time} left", "，剩余 {time}"],
  rows_of: ["{done} / {total} {total:row|rows}", "{done} / {total} 条"],
  phase_left: ["{time} in this phase", "本阶段剩余 {time}"],

  loss_trend: ["Loss trend", "loss 走势"],
  eval_loss: ["Eval loss", "验证 loss"],
  speed: ["Tokens/s", "tokens/秒"],
  chart_loss: ["Train and eval loss", "训练与验证 loss"],
  smoothing: ["Smoothing", "平滑"],
  log_scale: ["Log scale", "对数坐标"],
  reset_zoom: ["Reset zoom", "重置缩放"],
  zoom_hint: ["Drag to zoom, double-click to reset", "拖动放大，双击还原"],
  bin_rows: ["{rows} {rows:row|rows}", "{rows} 条"],
});
