"""Event messages in English and Chinese.

The `{names}` are placeholders for values stored with the event. Failure codes and byte counts are formatted for
display.
"""

from collections.abc import Mapping

from contracts.failure import FailureReason, Language
from contracts.job_status import Phase
from contracts.values.sizes import format_bytes
from contracts.values.text import escape_lines
from contracts.verdicts.finding import HealthCode


def event_words(code: str, language: Language, figures: Mapping[str, object]) -> str:
    """Return an event's message, or its code if this version does not know it."""
    if code not in EVENTS:
        return code
    # The number of GPUs is shown only if it is greater than one.
    texts = ATTEMPT_ON_GPUS if code == "attempt_started" and "gpus" in figures else EVENTS[code]
    worded = {name: _word(name, value, language) for name, value in figures.items()}
    try:
        return texts[language].format_map(worded)
    except (KeyError, ValueError, TypeError):
        return code


def _word(name: str, value: object, language: Language) -> object:
    if name == "fields" and isinstance(value, list):
        words = [FIELDS[field][language] for field in value]
        return ("、" if language == "zh" else ", ").join(words)
    if name == "bytes" and isinstance(value, int):
        return format_bytes(value)
    if name == "reason" and isinstance(value, str) and value in list(FailureReason):
        sentence = FailureReason(value).message(language).rstrip(".。")
        return sentence[:1].lower() + sentence[1:]
    if name == "phase" and language == "zh" and isinstance(value, str):
        return PHASES.get(value, value)
    if name == "finding" and isinstance(value, str) and value in FINDINGS:
        return FINDINGS[HealthCode(value)][language]
    return escape_lines(value) if isinstance(value, str) else value


FIELDS: dict[str, dict[Language, str]] = {
    "name": {"en": "name", "zh": "名称"},
    "labels": {"en": "labels", "zh": "标签"},
    "notes": {"en": "notes", "zh": "备注"},
}
"""Field names shown in `job_edited`."""

PHASES: dict[str, str] = {
    Phase.PLACING: "准备文件",
    Phase.LOADING: "加载模型",
    Phase.TOKENIZING: "分词",
    Phase.EVALUATING: "评估",
    Phase.TRAINING: "训练",
    Phase.SAVING: "保存",
    Phase.UPLOADING: "上传",
}
"""The Chinese names of the phases; the English ones are their values."""

FINDINGS: dict[HealthCode, dict[Language, str]] = {
    HealthCode.DIVERGED: {"en": "the train loss diverged", "zh": "训练 loss 发散"},
    HealthCode.EVAL_LOSS_RISING: {"en": "the eval loss is rising", "zh": "验证 loss 上升"},
    HealthCode.PLATEAU: {
        "en": "the train loss has not fallen since the start",
        "zh": "训练 loss 自开始以来没有下降",
    },
    HealthCode.LOSS_SPIKE: {"en": "the train loss spiked", "zh": "训练 loss 出现尖峰"},
    HealthCode.GRADIENT_EXPLODING: {"en": "the gradients are exploding", "zh": "梯度爆炸"},
    HealthCode.GRADIENT_CLIPPED: {
        "en": "nearly every gradient is clipped to a small fraction",
        "zh": "几乎每一步的梯度都被大幅裁剪",
    },
    HealthCode.STALLED: {"en": "no step for a long time", "zh": "长时间没有完成新的一步"},
    HealthCode.SLOWDOWN: {"en": "training has become slow", "zh": "训练明显变慢"},
    HealthCode.GPU_STARVED: {"en": "the GPU is mostly idle", "zh": "GPU 大部分时间空闲"},
    HealthCode.GPU_THROTTLED: {"en": "the GPU is throttled", "zh": "GPU 降频"},
    HealthCode.DISK_NEARLY_FULL: {
        "en": "the worker's disk is nearly full",
        "zh": "工作节点的磁盘即将写满",
    },
}

ATTEMPT_UNDELIVERED: dict[Language, str] = {
    "en": "Attempt {number} did not start: worker {worker} did not receive the job.",
    "zh": "第 {number} 次尝试未启动：工作节点 {worker} 未收到任务。",
}

ATTEMPT_ON_GPUS: dict[Language, str] = {
    "en": "Attempt {number} started on worker {worker}, on {gpus} GPUs.",
    "zh": "第 {number} 次尝试在工作节点 {worker} 上启动，使用 {gpus} 张 GPU。",
}

EVENTS: dict[str, dict[Language, str]] = {
    "job_edited": {"en": "Job edited: {fields}.", "zh": "任务信息已修改：{fields}。"},
    "priority_changed": {
        "en": "Priority changed from {before} to {after}.",
        "zh": "优先级由 {before} 改为 {after}。",
    },
    "job_archived": {"en": "Job archived.", "zh": "任务已归档。"},
    "job_unarchived": {"en": "Job restored from the archive.", "zh": "任务已取消归档。"},
    "job_created": {"en": "Job submitted.", "zh": "任务已提交。"},
    "evaluation_rows_in_training": {
        "en": "Evaluation rows that are also training rows: {rows}. The evaluation loss will be too low.",
        "zh": "验证集中有 {rows} 条数据也出现在训练集中，验证 loss 会偏低。",
    },
    "held_out_copies": {
        "en": "Rows held out for evaluation that are also training rows, because the dataset contains duplicates: about {rows}.",
        "zh": "数据集中有重复数据，划分出的验证数据中约有 {rows} 条也出现在训练集中。",
    },
    "attempt_started": {
        "en": "Attempt {number} started on worker {worker}.",
        "zh": "第 {number} 次尝试在工作节点 {worker} 上启动。",
    },
    "phase": {"en": "Phase: {phase}.", "zh": "阶段：{phase}。"},
    "evaluated": {
        "en": "Evaluation at step {step}: loss {loss:.4f}.",
        "zh": "第 {step} 步评估：loss {loss:.4f}。",
    },
    "checkpoint": {
        "en": "Checkpoint {name} saved at step {step}.",
        "zh": "第 {step} 步已保存检查点 {name}。",
    },
    "record_gap": {
        "en": "Metrics and evaluations dropped so far: {total}, most recently from step {first_step} to step {last_step}. "
        "The worker's record buffer (STEPLINE_SPOOL_BYTES) is nearly full.",
        "zh": "累计已丢弃 {total} 条指标和评估记录，最近一次为第 {first_step} 至 {last_step} 步。"
        "工作节点的记录缓冲区（STEPLINE_SPOOL_BYTES）即将写满。",
    },
    "checkpoint_stored": {
        "en": "The checkpoint at step {step} was uploaded to the server ({bytes}).",
        "zh": "第 {step} 步的检查点已上传到服务器（{bytes}）。",
    },
    "checkpoint_delayed": {
        "en": "The checkpoint at step {step} could not be uploaded yet; the worker will retry: {reason}",
        "zh": "第 {step} 步的检查点暂时无法上传，工作节点将重试：{reason}",
    },
    "wandb_started": {
        "en": "The metrics are mirrored to W&B: {run}.",
        "zh": "指标正在同步到 W&B：{run}。",
    },
    "wandb_failed": {
        "en": "Mirroring to W&B has failed, and the job continues without it: {reason}.",
        "zh": "同步到 W&B 失败，任务继续运行，不再同步：{reason}。",
    },
    "wandb_unavailable": {
        "en": "This worker cannot mirror the metrics to W&B: {reason}.",
        "zh": "该工作节点无法将指标同步到 W&B：{reason}。",
    },
    "checkpoint_not_uploaded": {
        "en": "The checkpoint at step {step} was not uploaded and is only on the worker's disk: {reason}",
        "zh": "第 {step} 步的检查点未上传，仅保存在工作节点的磁盘上：{reason}",
    },
    "checkpoint_damaged": {
        "en": "Skipped the damaged checkpoint at step {step} (attempt {of_attempt}): {reason}",
        "zh": "第 {step} 步的检查点（第 {of_attempt} 次尝试）已损坏，已跳过：{reason}",
    },
    "checkpoint_unrecorded": {
        "en": "Skipped the checkpoint at step {step} (attempt {of_attempt}) because resuming from it would leave a gap in the history: "
        "{reason}",
        "zh": "已跳过第 {step} 步的检查点（第 {of_attempt} 次尝试），因为从该检查点恢复会造成历史记录缺失：{reason}",
    },
    "resuming_local": {
        "en": "Resuming from the checkpoint at step {step} (attempt {of_attempt}) in the worker's work directory.",
        "zh": "从工作节点工作目录中第 {step} 步的检查点（第 {of_attempt} 次尝试）恢复训练。",
    },
    "resuming_stored": {
        "en": "Resuming from the checkpoint at step {step} (attempt {of_attempt}) in the server's storage.",
        "zh": "从服务器上第 {step} 步的检查点（第 {of_attempt} 次尝试）恢复训练。",
    },
    "starting_over": {
        "en": "No checkpoint is usable. Starting from the first step.",
        "zh": "没有可用的检查点，从第一步开始。",
    },
    "health_raised": {
        "en": "Health: {finding} (step {step}).",
        "zh": "健康告警：{finding}（第 {step} 步）。",
    },
    "health_acknowledged": {"en": "Acknowledged: {finding}.", "zh": "已确认：{finding}。"},
    "log": {"en": "{message}", "zh": "{message}"},
    "cancel_requested": {"en": "Cancel requested.", "zh": "已请求取消。"},
    "pause_requested": {"en": "Pause requested.", "zh": "已请求暂停。"},
    "pause_withdrawn": {"en": "Pause request withdrawn.", "zh": "已撤回暂停请求。"},
    "job_resumed": {"en": "Job resumed and queued again.", "zh": "任务已恢复，重新排队。"},
    "job_retried": {"en": "Job retried and queued again.", "zh": "任务已重试，重新排队。"},
    "attempt_lost": {
        "en": "Attempt {number} was lost: worker {worker} had not responded for {silent_seconds} s.",
        "zh": "第 {number} 次尝试失联：工作节点 {worker} 已 {silent_seconds} 秒无响应。",
    },
    "attempt_abandoned": {
        "en": "Attempt {number} was lost: worker {worker} is no longer running it.",
        "zh": "第 {number} 次尝试已失效：工作节点 {worker} 已不再运行该尝试。",
    },
    "attempt_undelivered": ATTEMPT_UNDELIVERED,
    "attempt_unheard": ATTEMPT_UNDELIVERED,  # the code stored by earlier versions
    "attempt_failed": {
        "en": "Attempt {number} failed at step {step}: {reason}. {detail}",
        "zh": "第 {number} 次尝试在第 {step} 步失败：{reason}。{detail}",
    },
    "device_check_passed": {
        "en": "The device of worker {worker} failed during attempt {number}, and has now passed its check.",
        "zh": "工作节点 {worker} 的设备在第 {number} 次尝试中发生故障，现已通过检测。",
    },
    "attempt_interrupted": {
        "en": "The worker was stopped and returned the job to the queue at step {step}.",
        "zh": "工作节点已停止，任务在第 {step} 步退回队列。",
    },
    "job_requeued": {
        "en": "Job queued again; the next attempt can start in {wait_seconds} s.",
        "zh": "任务已重新排队，{wait_seconds} 秒后可开始下一次尝试。",
    },
    "artifact_uploaded": {
        "en": "Artifact {name} uploaded ({bytes}).",
        "zh": "产物 {name} 已上传（{bytes}）。",
    },
    "job_succeeded": {"en": "Job succeeded.", "zh": "任务成功。"},
    "job_failed": {"en": "Job failed: {reason}.", "zh": "任务失败：{reason}。"},
    "job_cancelled": {"en": "Job cancelled.", "zh": "任务已取消。"},
    "job_paused": {"en": "Job paused at step {step}.", "zh": "任务已在第 {step} 步暂停。"},
}
