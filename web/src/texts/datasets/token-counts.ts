// Text of the view that shows how many tokens the rows of a dataset have.
import { texts } from "../say";

export const TOKEN_COUNTS = texts({
  title: ["Token counts", "Token 统计"],
  count: ["Count the tokens of all rows", "统计全部数据的 token"],
  count_hint: [
    "A worker counts them with the model's own tokenizer, even while it is training. The plan then uses the counts.",
    "由工作节点用模型自带的分词器统计，训练期间也可进行；之后训练计划会采用统计结果。",
  ],
  waiting: ["Waiting for a worker…", "正在等待工作节点……"],
  counting: ["A worker is counting the tokens: {percent} % of the rows done", "工作节点正在统计：已完成 {percent}%"],
  rows: ["Rows", "条数"],
  sample_of: ["{measured} of {rows}, a random sample", "{rows} 条中随机抽样 {measured} 条"],
  tokens: ["Tokens", "Token 数"],
  tokens_of: ["{all} in total, {mean} per row", "共 {all}，平均每条 {mean}"],
  trained: ["Trained share", "参与训练的比例"],
  lengths: ["Length of a row", "每条长度"],
  lengths_of: [
    "median {p50}, 95% up to {p95}, 99% up to {p99}, longest {longest}",
    "中位数 {p50}，95% 不超过 {p95}，99% 不超过 {p99}，最长 {longest}",
  ],
  cut: ["Cut at {length} tokens", "按 {length} token 截断"],
  nothing_cut: ["nothing", "无"],
  cut_of: [
    "{over} {over:row|rows} longer, {cut} of them lose part of an answer, {dropped} are skipped",
    "{over} 条超长，其中 {cut} 条的回答被截断，{dropped} 条被跳过",
  ],
  advised: ["Shortest length that cuts fewer than 1% of the conversations", "截断的对话不到 1% 的最小长度"],
  refused: [
    "Rows rejected by the chat template: {rows}. A job that uses them fails.",
    "对话模板拒绝了 {rows} 条数据，任务遇到它们会失败。",
  ],
  refused_row: ["row {row}: {error}", "第 {row} 行：{error}"],
  histogram: ["Rows by length in tokens", "按 token 数统计的数据条数"],
  bin: ["{from} to {to} tokens", "{from} 至 {to} token"],
});
