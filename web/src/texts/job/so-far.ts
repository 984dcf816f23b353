// Text for the line that says how a running job is doing.
import { texts } from "../say";

export const SO_FAR = texts({
  title: ["So far", "当前进展"],
  change: ["Eval loss {before} → {after}", "验证 loss {before} → {after}"],
  change_by: ["Eval loss {before} → {after} ({percent})", "验证 loss {before} → {after}（{percent}）"],
  since_base: ["from the base model to step {step}", "从基座模型到第 {step} 步"],
  since_step: ["from step {first} to step {step}", "从第 {first} 步到第 {step} 步"],
  lowest: ["lowest {loss} at step {step}", "最低 {loss}（第 {step} 步）"],
  only: ["Eval loss {loss} at step {step}", "第 {step} 步的验证 loss 为 {loss}"],
  no_earlier: ["no earlier evaluation to compare with", "尚无更早的评估可供比较"],
  first_at: ["First evaluation at step {step}", "将在第 {step} 步首次评估"],
  base: ["eval loss of the base model: {loss}", "基座模型的验证 loss：{loss}"],
  not_finite: ["not finite", "NaN/Inf"],
});
