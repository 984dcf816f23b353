// Text for the new-job form. The names and help of its fields are in fields.ts.
import { texts } from "../say";

export const NEW = texts({
  or: [" or ", " 或 "],
  stop: [". ", "。"],
  intro: [
    "Only the model and the training data are required; everything else has a default.",
    "只需填写模型和训练集，其余字段都有默认值。",
  ],
  intro_from: ["Copied from {name}. You can change any field.", "复制自 {name}，所有字段均可修改。"],
  reset: ["Clear the form", "清空表单"],
  submit: ["Submit", "提交"],

  group_first: ["Model, data and training", "模型、数据与训练"],
  group_data: ["Model version and evaluation data", "模型版本与验证集"],
  group_training: ["More training settings", "其他训练设置"],
  group_lora: ["Adapter (LoRA)", "适配器（LoRA）"],
  group_quantization: ["Quantization", "量化"],
  group_evaluation: ["Evaluation and checkpoints", "评估与检查点"],
  group_resources: ["GPUs", "GPU"],
  group_engine: ["Engine", "引擎"],
  group_about: ["Labels and queue", "标签与队列"],
  advanced: ["Advanced settings", "高级设置"],
  advanced_changed: ["{n} changed", "已修改 {n} 项"],
  advanced_defaults: ["all have defaults", "均有默认值"],

  no_preset: ["None (the reference run's settings)", "不使用（参考训练的设置）"],

  choose_model: ["Choose a model", "选择模型"],
  other_model: ["Another model from the Hub…", "Hub 上的其他模型……"],
  model_missing: ["{id} (not on any worker)", "{id}（所有工作节点均无此模型）"],
  model_offline: ["worker offline", "工作节点离线"],
  parameters: ["{n} parameters", "{n} 参数"],
  tokens: ["{n} tokens", "{n} token"],

  choose_dataset: ["Choose a dataset", "选择数据集"],
  no_eval_dataset: ["None (hold out training rows)", "不指定（从训练集中划分）"],
  from_hub: ["From the Hub", "Hub 上的数据集"],
  rows: ["{n} {n:row|rows}", "{n} 条"],
  first_row: ["First row", "第一条数据"],

  plan_ok: [
    "This job is valid: {steps} {steps:step|steps} over {rows} {rows:row|rows}, {eval} held out.",
    "配置有效：{rows} 条数据共训练 {steps} 步，另有 {eval} 条用于验证。",
  ],
  plan_eval: [
    "Evaluation: {times} × {eval} {eval:row|rows}, {share}% of all rows processed ({passes} of {all}).",
    "评估：{times} 次 × {eval} 条，占数据处理总量的 {share}%（{passes} / {all} 条）。",
  ],
  plan_gpus: ["Trains on {n} GPUs of one host.", "使用同一台主机上的 {n} 张 GPU 训练。"],
  plan_hub: ["This job is valid.", "配置有效。"],
  checks: ["Checks", "提交前检查"],
  checks_hint: [
    "Choose a model and training data. The server then checks the job and shows its size here.",
    "选择模型和训练集后，服务器会检查配置，并在此显示任务规模。",
  ],
  not_checked: [
    "Not checked: no worker has read the files of {id}. If the settings do not suit the model, the job fails when it starts.",
    "未检查：工作节点尚未读取 {id} 的文件。如果模型与配置不符，任务会在启动时失败。",
  ],
  similar: ["Did you mean this installed model?", "您是不是要选这个已安装的模型？"],
  fact_model: ["Model", "模型"],
  fact_context: ["Context", "上下文长度"],
  fact_modules: ["Target modules", "目标模块"],
  fact_template: ["Chat template", "对话模板"],
  fact_license: ["License", "许可证"],
  context_used: ["{length} of {longest} tokens", "{length} / {longest} token"],
  modules_unknown: ["{unknown}: not in this model. It has {all}.", "该模型没有 {unknown}，可选：{all}。"],
  template_qwen2: ["Qwen2's stock template", "Qwen2 官方模板"],
  template_own: ["the model's own", "模型自带"],
  template_plain: ["none (plain lines)", "无（按行拼接）"],
  equivalent: ["Equivalent curl command", "等价的 curl 命令"],

  required: ["required", "必填"],
  from_to: ["{min} to {max}", "{min} 到 {max}"],
  from_only: ["at least {min}", "不小于 {min}"],
  problems: ["{n} {n:problem|problems}:", "{n} 处有误："],
  comma: [", ", "、"],
  no_answer: [
    "No response from the server. Submit again when it is back: the job is never created twice.",
    "服务器没有响应。恢复后请再次提交，不会重复创建任务。",
  ],
  is_required: ["This field is required.", "此项必填。"],
  not_a_number: ["Enter a number.", "请输入数字。"],
  not_an_integer: ["Enter a whole number.", "请输入整数。"],
  out_of_range: ["Allowed range: {range}.", "取值范围：{range}。"],
});
