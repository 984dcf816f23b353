// Text of the view that shows the tokens of a dataset's rows.
import { texts } from "../say";

export const TOKENS = texts({
  title: ["Tokens", "Token 预览"],
  show: ["Tokens", "Token 预览"],
  hide: ["Hide tokens", "收起 Token"],
  model: ["Model", "模型"],
  rows: ["Rows", "行号"],
  previous: ["Previous rows", "上一组"],
  next: ["Next rows", "下一组"],
  no_models: [
    "No worker has a model on its disk. A preview does not download models.",
    "所有工作节点上都没有模型。预览不会下载模型。",
  ],
  rendering: ["A worker is rendering the rows…", "工作节点正在渲染……"],
  marked: ["Marked", "带标记的"],
  legend: [
    "tokens count towards the loss: the model learns to predict them. Move the pointer over a token to see its id.",
    " token 计入 loss，模型会学习预测它们。鼠标悬停可查看 token 的 ID。",
  ],
  row: ["Row {row}", "第 {row} 行"],
  tokens: ["{tokens} tokens, {trained} trained", "{tokens} 个 token，其中 {trained} 个参与训练"],
  dropped: ["A job skips this row, because it has no token to train on.", "训练时会跳过此行：没有可训练的 token。"],
  cut: ["✂ {n} more {n:token|tokens} cut off", "✂ 其余 {n} 个 token 已被截断"],
});
