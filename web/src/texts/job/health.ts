// Text for the health of a job: for each finding its name, its figures in one sentence, and what to do.
import { say, texts } from "../say";

export const HEALTH = texts({
  health: ["Health", "健康状况"],
  healthy: ["Healthy: no warnings in {n} {n:step|steps}", "状态健康：{n} 步内没有警告"],
  healthy_now: ["Healthy: no current warning after {n} {n:step|steps}", "状态健康：已训练 {n} 步，当前没有警告"],
  needs_attention: ["Needs attention after {n} {n:step|steps}: {names}", "需要关注（已训练 {n} 步）：{names}"],
  unhealthy: ["Unhealthy after {n} {n:step|steps}: {names}", "状态异常（已训练 {n} 步）：{names}"],
  no_steps: ["Health: no steps to judge yet", "健康状况：尚无训练步，无法判断"],
  unknown: ["Health unknown: no current data from the worker", "健康状况未知：没有工作节点的最新数据"],
  name_acknowledged: ["{name} (acknowledged)", "{name}（已确认）"],
  comma: [", ", "、"],
  at_step: ["step {step}", "第 {step} 步"],
  show_step: ["Show step {step} on the chart", "在图表中查看第 {step} 步"],
  acknowledge: ["Acknowledge", "确认"],
  acknowledge_hint: [
    "Hides the warning from the list of jobs. It returns if it gets worse or comes back.",
    "确认后任务列表不再提示；若情况恶化或再次出现，会重新提示。",
  ],
  acknowledged: ["acknowledged", "已确认"],
  warnings: ["{n} health {n:warning|warnings}: {names}", "{n} 项健康告警：{names}"],
});

const NAMES = texts({
  diverged: ["Diverged", "loss 发散"],
  eval_loss_rising: ["Eval loss rising", "验证 loss 上升"],
  plateau: ["Not learning", "loss 未下降"],
  loss_spike: ["Loss spike", "loss 尖峰"],
  gradient_exploding: ["Exploding gradients", "梯度爆炸"],
  gradient_clipped: ["Gradients clipped", "梯度持续裁剪"],
  stalled: ["Stalled", "训练停滞"],
  slowdown: ["Slow", "训练变慢"],
  gpu_starved: ["GPU idle", "GPU 空闲"],
  gpu_throttled: ["GPU throttled", "GPU 降频"],
  disk_nearly_full: ["Disk nearly full", "磁盘将满"],
});

export const SENTENCES = texts({
  diverged: [
    "The train loss is {recent_train_loss}; it started at {start_loss}.",
    "训练 loss 为 {recent_train_loss}，起始值为 {start_loss}。",
  ],
  eval_loss_rising: [
    "The eval loss is {eval_loss}, after a minimum of {lowest_eval_loss} at step {lowest_eval_step}.",
    "验证 loss 为 {eval_loss}，最低值为 {lowest_eval_loss}（第 {lowest_eval_step} 步）。",
  ],
  plateau: [
    "The train loss has not fallen since the start ({start_loss} then, {recent_train_loss} now).",
    "训练 loss 自开始以来没有下降（起始 {start_loss}，当前 {recent_train_loss}）。",
  ],
  loss_spike: [
    "The loss jumped to {loss} from about {usual_loss}. Spikes so far: {count}.",
    "loss 从约 {usual_loss} 跳到 {loss}。累计尖峰 {count} 次。",
  ],
  gradient_exploding: [
    "The gradient norm is {grad_norm}; it was about {usual_grad_norm}.",
    "梯度范数为 {grad_norm}，此前约为 {usual_grad_norm}。",
  ],
  gradient_clipped: [
    "The gradient norm is {grad_norm}, far above max_grad_norm {max_grad_norm}, at nearly every step.",
    "几乎每一步的梯度范数都远超 max_grad_norm（{grad_norm}，上限 {max_grad_norm}）。",
  ],
  stalled: [
    "No step has completed for {silent_seconds} s. A step usually takes {usual_seconds} s.",
    "已 {silent_seconds} 秒没有完成新的一步，平时每步约 {usual_seconds} 秒。",
  ],
  slowdown: [
    "{tokens_per_second} supervised tokens/s; it was {usual_tokens_per_second}.",
    "每秒 {tokens_per_second} 个监督 token，此前为 {usual_tokens_per_second}。",
  ],
  gpu_starved: [
    "The GPU has been busy for only {gpu_percent} % of the last minute.",
    "最近一分钟 GPU 平均利用率仅 {gpu_percent}%。",
  ],
  gpu_throttled: [
    "The GPU has reduced its clock speed because of heat or power for {share} of the last minute.",
    "最近一分钟内有 {share} 的时间，GPU 因温度或供电而降频。",
  ],
  disk_nearly_full: ["{free_bytes} are free on the worker's disk.", "工作节点磁盘剩余空间 {free_bytes}。"],
});

const ADVICE = texts({
  diverged: [
    "Cancel the job, and start again with a lower learning rate or with warm-up steps.",
    "建议取消任务，降低学习率或增加 warmup 步数后重新开始。",
  ],
  eval_loss_rising: [
    "More steps are unlikely to help: use fewer epochs, more data, or early stopping.",
    "继续训练很可能没有收益：可减少轮数、增加数据或启用早停。",
  ],
  plateau: ["Check the learning rate and the answers in the data.", "请检查学习率以及数据中的回答。"],
  loss_spike: ["One spike is harmless if the loss recovers.", "若 loss 随后恢复，偶发一次没有影响。"],
  gradient_exploding: ["A divergence may follow. Lower the learning rate.", "可能即将发散，建议降低学习率。"],
  gradient_clipped: [
    "Check the data and the learning rate, or raise max_grad_norm.",
    "请检查数据与学习率，或调高 max_grad_norm。",
  ],
  stalled: [
    "If this continues, look at the log and the worker's host. The worker automatically ends an attempt that makes no progress.",
    "若持续不恢复，请查看日志与工作节点所在主机；长时间无进展时，工作节点会自动结束该次尝试。",
  ],
  slowdown: [
    "Another process may be using the device, or the device is throttled.",
    "可能有其他进程占用设备，或设备正在降频。",
  ],
  gpu_starved: [
    "The batch may be too small for this GPU, or the host's processor is overloaded.",
    "批次可能过小，或主机 CPU 负载过高。",
  ],
  gpu_throttled: ["Check the cooling and the power supply of the host.", "请检查主机的散热与供电。"],
  disk_nearly_full: [
    "Free some space, or the next checkpoint may fail.",
    "请尽快清理空间，否则下一个检查点可能保存失败。",
  ],
});

/** For several spikes, instead of the advice about one. */
const SEVERAL_SPIKES = texts({
  advice: [
    "Repeated spikes slow the training down and may lead to divergence: lower the learning rate, and check the data for faulty or very unusual rows.",
    "尖峰反复出现会拖慢训练，并可能导致发散：建议降低学习率，并检查数据中是否有错误或异常的样本。",
  ],
}).advice;

/** Return what to do about a finding; the advice on spikes depends on their number. */
export const adviceOn = ({ code, values }: { code: keyof typeof ADVICE; values: Record<string, number> }): string =>
  say(code === "loss_spike" && (values.count ?? 1) > 1 ? SEVERAL_SPIKES : ADVICE[code]);

/** Return the name of a finding in the page's language. */
export const sayFinding = (code: keyof typeof NAMES): string => say(NAMES[code]);
