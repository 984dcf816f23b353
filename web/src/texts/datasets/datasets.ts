// Text for datasets: their page, and uploading one.
import { texts } from "../say";

export const DATASETS = texts({
  title: ["Datasets", "数据集"],
  intro: [
    "Uploaded files and datasets imported from the Hub. A new job can also name a dataset on the Hub directly.",
    "已上传的文件，以及从 Hub 导入的数据集。新建任务时也可直接填写 Hub 上的数据集。",
  ],
  search: ["Search by name or id", "按名称或 ID 搜索"],
  none: ["No datasets yet", "还没有数据集"],
  none_hint: [
    "Upload JSON, JSONL, CSV, Parquet or Arrow, optionally compressed with gzip, zstd or ZIP, with Alpaca, prompt/completion, chat, ShareGPT, plain text or preference rows.",
    "请上传 JSON、JSONL、CSV、Parquet 或 Arrow 文件，也可以是 gzip、zstd 或 ZIP 压缩文件；支持 Alpaca、prompt/completion、对话、ShareGPT、纯文本和偏好数据。",
  ],
  no_match: ["No dataset matches “{search}”.", "没有匹配“{search}”的数据集。"],
  more: ["Show more", "显示更多"],

  name: ["Name", "名称"],
  rows: ["Rows", "条数"],
  formats: ["Format", "格式"],
  form_alpaca: ["Alpaca", "Alpaca"],
  form_prompt: ["prompt/completion", "prompt/completion"],
  form_messages: ["chat", "对话"],
  form_sharegpt: ["ShareGPT", "ShareGPT"],
  form_text: ["plain text", "纯文本"],
  form_preference: ["preference pairs", "偏好对"],
  form_kto: ["KTO labels", "KTO 标注"],
  size: ["Size", "大小"],
  uploaded_at: ["Uploaded", "上传时间"],
  first_rows: ["First rows", "前几条数据"],
  hide_rows: ["Hide rows", "收起"],
  train_on: ["New job", "新建任务"],
  delete: ["Delete dataset", "删除数据集"],
  delete_question: [
    "Delete {name} with its {rows} {rows:row|rows}? Jobs that have ended keep their results, but cannot be retried.",
    "确定删除 {name}（共 {rows} 条）吗？已结束的任务会保留结果，但无法重试。",
  ],
  delete_unready: ["Delete {name}?", "确定删除 {name} 吗？"],

  upload: ["Upload a file", "上传文件"],
  uploading_file: ["Uploading {name}…", "正在上传 {name}……"],
  checking_file: ["Checking {name}: {rows} {rows:row|rows} so far…", "正在校验 {name}：已校验 {rows} 条……"],
  checking: ["Checking: {percent} %, {rows} {rows:row|rows} so far", "正在校验：{percent}%，已校验 {rows} 条"],
  failed: ["This file cannot be used.", "该文件无法使用。"],
  problems: ["All {n} problems", "全部 {n} 个问题"],
  uploaded: ["{name}: {rows} {rows:row|rows}", "{name}：共 {rows} 条"],
});
