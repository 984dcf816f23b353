"""What the server says of events, in English and Chinese.

A sentence stands here once per language. `{names}` are figures given by whoever records the event; those that are meant for
programs, reasons and sizes, are put as people say them.
"""

from collections.abc import Mapping

from contracts.failure import FailureReason, Language
from contracts.text import escape_lines


def event_words(code: str, language: Language, figures: Mapping[str, object]) -> str:
    """Return an event's sentence; an event of another version is shown by its code."""
    if code not in EVENTS:
        return code
    said = {name: _said(name, value, language) for name, value in figures.items()}
    try:
        return EVENTS[code][language].format_map(said)
    except (KeyError, ValueError, TypeError):
        return code


def _said(name: str, value: object, language: Language) -> object:
    if name == "bytes" and isinstance(value, int):
        return _size(value, language)
    if name == "reason" and isinstance(value, str) and value in list(FailureReason):
        sentence = FailureReason(value).message(language).rstrip(".。")
        return sentence[:1].lower() + sentence[1:]
    return escape_lines(value) if isinstance(value, str) else value


def _size(count: int, language: Language) -> str:
    if count < 1000:
        return f"{count} 字节" if language == "zh" else f"{count} bytes"
    size, unit = count / 1e3, "KB"
    for larger in ("MB", "GB"):
        if size >= 1000:
            size, unit = size / 1e3, larger
    return f"{size:.1f} {unit}"


ATTEMPT_UNDELIVERED: dict[Language, str] = {
    "en": "Attempt {number} never started: the job was not delivered to worker {worker}.",
    "zh": "第 {number} 次尝试未启动：任务未送达工作节点 {worker}。",
}

EVENTS: dict[str, dict[Language, str]] = {
    "job_created": {"en": "Job submitted.", "zh": "任务已提交。"},
    "attempt_started": {
        "en": "Attempt {number} started on {worker}.",
        "zh": "第 {number} 次尝试在 {worker} 上开始。",
    },
    "phase": {"en": "Phase: {phase}.", "zh": "阶段：{phase}。"},
    "evaluated": {
        "en": "Evaluated at step {step}: loss {loss:.4f}.",
        "zh": "第 {step} 步评估：loss {loss:.4f}。",
    },
    "checkpoint": {
        "en": "Checkpoint {name} written at step {step}.",
        "zh": "第 {step} 步写入检查点 {name}。",
    },
    "record_gap": {
        "en": "{total} metrics and evaluations so far are not recorded, lately between steps {first_step} and {last_step}: "
        "the worker's spool (STEPLINE_SPOOL_BYTES) is nearly full.",
        "zh": "至今有 {total} 条指标与评估未记录，最近为第 {first_step} 至 {last_step} 步："
        "工作节点的记录缓存（STEPLINE_SPOOL_BYTES）将满。",
    },
    "checkpoint_stored": {
        "en": "The checkpoint of step {step} is in the server's storage ({bytes}).",
        "zh": "第 {step} 步的检查点已存入服务器（{bytes}）。",
    },
    "checkpoint_delayed": {
        "en": "The checkpoint of step {step} could not be uploaded yet and is tried again: {reason}",
        "zh": "第 {step} 步的检查点暂时无法上传，将会重试：{reason}",
    },
    "checkpoint_not_uploaded": {
        "en": "The checkpoint of step {step} stays on the worker's disk only: {reason}",
        "zh": "第 {step} 步的检查点只保留在工作节点的磁盘上：{reason}",
    },
    "checkpoint_damaged": {
        "en": "The checkpoint of step {step} (attempt {of_attempt}) is damaged and is passed over: {reason}",
        "zh": "第 {step} 步的检查点（第 {of_attempt} 次尝试）已损坏，跳过：{reason}",
    },
    "checkpoint_unrecorded": {
        "en": "The checkpoint of step {step} (attempt {of_attempt}) is passed over, since the history would have a hole: {reason}",
        "zh": "跳过第 {step} 步的检查点（第 {of_attempt} 次尝试），否则历史会有缺口：{reason}",
    },
    "resuming_local": {
        "en": "Going on from the checkpoint of step {step} (attempt {of_attempt}), still on this worker's disk.",
        "zh": "从第 {step} 步的检查点继续（第 {of_attempt} 次尝试，仍在本工作节点的磁盘上）。",
    },
    "resuming_stored": {
        "en": "Going on from the checkpoint of step {step} (attempt {of_attempt}), from the server's storage.",
        "zh": "从第 {step} 步的检查点继续（第 {of_attempt} 次尝试，取自服务器存储）。",
    },
    "starting_over": {
        "en": "No checkpoint could be used: starting from the first step.",
        "zh": "没有可用的检查点：从第一步开始。",
    },
    "log": {"en": "{message}", "zh": "{message}"},
    "cancel_requested": {"en": "Cancel requested.", "zh": "已请求取消。"},
    "pause_requested": {"en": "Pause requested.", "zh": "已请求暂停。"},
    "pause_withdrawn": {
        "en": "The request to pause was taken back.",
        "zh": "已撤回暂停请求。",
    },
    "job_resumed": {"en": "Resumed: queued again.", "zh": "已恢复：重新排队。"},
    "job_retried": {"en": "Retried: queued again.", "zh": "已重试：重新排队。"},
    "attempt_lost": {
        "en": "Attempt {number} on {worker} is lost: no sign of life for {silent_seconds} s.",
        "zh": "第 {number} 次尝试（{worker}）失联：{silent_seconds} 秒没有响应。",
    },
    "attempt_abandoned": {
        "en": "Attempt {number} is lost: its worker {worker} came back without it.",
        "zh": "第 {number} 次尝试已丢失：工作节点 {worker} 重新上线，但已不再运行它。",
    },
    "attempt_undelivered": ATTEMPT_UNDELIVERED,
    "attempt_unheard": ATTEMPT_UNDELIVERED,  # its code in rows that earlier versions stored
    "attempt_failed": {
        "en": "Attempt {number} failed at step {step}: {reason}. {detail}",
        "zh": "第 {number} 次尝试在第 {step} 步失败：{reason}。{detail}",
    },
    "attempt_interrupted": {
        "en": "The worker was told to stop and handed the job back at step {step}.",
        "zh": "工作节点被要求停止，在第 {step} 步交还了任务。",
    },
    "job_requeued": {
        "en": "Queued again; the next attempt may start in {wait_seconds} s.",
        "zh": "已重新排队；{wait_seconds} 秒后可开始下一次尝试。",
    },
    "artifact_uploaded": {
        "en": "Artifact {name} uploaded ({bytes}).",
        "zh": "产物 {name} 已上传（{bytes}）。",
    },
    "job_succeeded": {"en": "Job succeeded.", "zh": "任务成功。"},
    "job_failed": {"en": "Job failed: {reason}.", "zh": "任务失败：{reason}。"},
    "job_cancelled": {"en": "Job cancelled.", "zh": "任务已取消。"},
    "job_paused": {"en": "Job paused at step {step}.", "zh": "任务在第 {step} 步暂停。"},
}
