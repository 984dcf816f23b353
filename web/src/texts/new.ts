// Text for the new-job form. The names and help of its fields are in fields.ts.
import { texts } from "./say";

export const NEW = texts({
  intro: [
    "Only the model and the training data are required; everything else has a default.",
    "只需填写模型和训练集，其余字段都有默认值。",
  ],
  intro_from: ["Copied from {name}. You can change any field.", "复制自 {name}，所有字段均可修改。"],
  reset: ["Clear the form", "清空表单"],
  submit: ["Submit", "提交"],

  group_basic: ["Model and data", "模型与数据"],
  group_training: ["Training", "训练"],
  group_lora: ["Adapter (LoRA)", "适配器（LoRA）"],
  group_quantization: ["Quantization", "量化"],
  group_evaluation: ["Evaluation and checkpoints", "评估与检查点"],
  group_resources: ["GPUs", "GPU"],
  group_engine: ["Engine", "引擎"],
  group_about: ["Name and queue", "名称与队列"],

  choose_dataset: ["Choose a dataset", "选择数据集"],
  no_eval_dataset: ["None (hold out training rows)", "不指定（从训练集中划分）"],
  from_hub: ["From the Hub", "Hub 上的数据集"],
  upload_dataset: ["Upload JSON or JSONL", "上传 JSON 或 JSONL"],
  uploading_file: ["Uploading {name}…", "正在上传 {name}……"],
  uploaded: ["{name}: {rows} rows", "{name}：共 {rows} 条"],
  rows: ["{n} rows", "{n} 条"],
  first_row: ["First row", "第一条数据"],

  plan_ok: [
    "This job is valid: {steps} steps over {rows} rows, {eval} held out.",
    "配置有效：{rows} 条数据共训练 {steps} 步，另有 {eval} 条用于验证。",
  ],
  plan_eval: [
    "Evaluation: {times} × {eval} rows, {share}% of all rows processed ({passes} of {all}).",
    "评估：{times} 次 × {eval} 条，占数据处理总量的 {share}%（{passes} / {all} 条）。",
  ],
  plan_gpus: ["Trains on {n} GPUs of one host.", "使用同一台主机上的 {n} 张 GPU 训练。"],
  plan_hub: ["This job is valid.", "配置有效。"],
  equivalent: ["Equivalent curl command", "等价的 curl 命令"],

  required: ["required", "必填"],
  from_to: ["{min} to {max}", "{min} 到 {max}"],
  from_only: ["at least {min}", "不小于 {min}"],
  has_problems: ["Fix the highlighted fields.", "请修正标红的字段。"],
  is_required: ["This field is required.", "此项必填。"],
  not_a_number: ["Enter a number.", "请输入数字。"],
  not_an_integer: ["Enter a whole number.", "请输入整数。"],
  out_of_range: ["Allowed range: {range}.", "取值范围：{range}。"],
});
