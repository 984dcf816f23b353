"""Why an attempt failed: a closed list of reasons that know whether a retry can help, and speak two languages."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.base import Tolerant

Language = Literal["en", "zh"]


class FailureReason(StrEnum):
    """What went wrong. `is_retryable` is true where trying again elsewhere or later can help."""

    MODEL_NOT_FOUND = "model_not_found"
    MODEL_REFUSED = "model_refused"
    DATASET_NOT_FOUND = "dataset_not_found"
    DATASET_INVALID = "dataset_invalid"
    DATASET_TOO_SMALL = "dataset_too_small"
    SPEC_REFUSED = "spec_refused"
    OOM_GPU = "oom_gpu"
    OOM_HOST = "oom_host"
    LOSS_NOT_FINITE = "loss_not_finite"
    LOSS_ZERO = "loss_zero"
    ADAPTER_FROZEN = "adapter_frozen"
    NO_PROGRESS = "no_progress"
    DISK_FULL = "disk_full"
    DEVICE_UNUSABLE = "device_unusable"
    CHILD_KILLED = "child_killed"
    UPLOAD_FAILED = "upload_failed"
    CRASHED = "crashed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"

    @property
    def is_retryable(self) -> bool:
        """Whether the job goes back to the queue instead of failing."""
        return _FACTS[self].retryable

    def message(self, language: Language = "en") -> str:
        """Say in one sentence what happened."""
        facts = _FACTS[self]
        return facts.message_zh if language == "zh" else facts.message_en

    def hint(self, language: Language = "en") -> str:
        """Say what to do about it."""
        facts = _FACTS[self]
        return facts.hint_zh if language == "zh" else facts.hint_en


class Failure(Tolerant):
    """One failure: the reason, and what was seen."""

    reason: FailureReason
    detail: str = Field("", max_length=20_000)
    """What was seen, in the words of whoever saw it (English)."""
    step: int | None = None
    """Optimizer step at which it happened."""
    evidence: dict[str, str | int | float | bool | None] = {}
    """Figures that show it."""


@dataclass(frozen=True)
class _Facts:
    retryable: bool
    message_en: str
    hint_en: str
    message_zh: str
    hint_zh: str


_FACTS: dict[FailureReason, _Facts] = {
    FailureReason.MODEL_NOT_FOUND: _Facts(
        False,
        "The model was not found.",
        "Put it as a directory under the worker's models root (STEPLINE_MODELS_DIR), or check its hub id and revision.",
        "找不到模型。",
        "请把模型目录放到工作节点的模型根目录（STEPLINE_MODELS_DIR）下，或检查 hub 上的模型名与版本。",
    ),
    FailureReason.MODEL_REFUSED: _Facts(
        False,
        "The model cannot be used.",
        "Use a causal language model with safetensors weights, a standard architecture and no code of its own.",
        "该模型无法使用。",
        "请使用带 safetensors 权重、标准结构且不含自定义代码的因果语言模型。",
    ),
    FailureReason.DATASET_NOT_FOUND: _Facts(
        False,
        "The dataset was not found.",
        "Check the hub id, configuration, split and revision, and that the worker can reach the hub.",
        "找不到数据集。",
        "请检查 hub 上的名称、配置、划分与版本，并确认工作节点能访问 hub。",
    ),
    FailureReason.DATASET_INVALID: _Facts(
        False,
        "The dataset has rows that cannot be trained on.",
        "Give rows in Alpaca, prompt/completion or chat-messages form; the detail names the line.",
        "数据集中有无法训练的行。",
        "请使用 Alpaca、prompt/completion 或 messages 对话格式；详情指出了行号。",
    ),
    FailureReason.DATASET_TOO_SMALL: _Facts(
        False,
        "The dataset has too few usable rows.",
        "Add rows, lower dataset.eval_size, or raise training.max_length if rows were dropped as too long.",
        "数据集中可用的行太少。",
        "请增加数据、减小 dataset.eval_size；若因过长而被丢弃，请增大 training.max_length。",
    ),
    FailureReason.SPEC_REFUSED: _Facts(
        False,
        "The job spec does not fit this model or device.",
        "Change the field that the detail names and submit the job again.",
        "任务配置与该模型或设备不符。",
        "请修改详情中指出的字段后重新提交。",
    ),
    FailureReason.OOM_GPU: _Facts(
        False,
        "The GPU ran out of memory.",
        "Lower training.max_length or lora.rank, turn engine.activation_checkpointing on, or use a larger GPU.",
        "显存不足。",
        "请减小 training.max_length 或 lora.rank，打开 engine.activation_checkpointing，或换用更大的 GPU。",
    ),
    FailureReason.OOM_HOST: _Facts(
        False,
        "The host ran out of memory.",
        "Give the worker more memory, or lower training.max_length or engine.token_budget.",
        "主机内存不足。",
        "请为工作节点分配更多内存，或减小 training.max_length 或 engine.token_budget。",
    ),
    FailureReason.LOSS_NOT_FINITE: _Facts(
        False,
        "The loss or its gradient became NaN or infinite.",
        "Lower training.learning_rate, add warmup_steps, or set quantization.compute_dtype to float32.",
        "loss 或梯度变为 NaN 或无穷大。",
        "请降低 training.learning_rate、增加 warmup_steps，或将 quantization.compute_dtype 设为 float32。",
    ),
    FailureReason.LOSS_ZERO: _Facts(
        False,
        "The loss was exactly zero for many steps.",
        "Check that rows have answers; set quantization.compute_dtype to float32 to rule out underflow.",
        "loss 连续多步恰为零。",
        "请检查数据是否有回答；可将 quantization.compute_dtype 设为 float32 以排除下溢。",
    ),
    FailureReason.ADAPTER_FROZEN: _Facts(
        False,
        "The adapter's weights do not change.",
        "Raise training.learning_rate, and check lora.target_modules.",
        "适配器权重没有变化。",
        "请提高 training.learning_rate，并检查 lora.target_modules。",
    ),
    FailureReason.NO_PROGRESS: _Facts(
        True,
        "The training made no progress for too long.",
        "Check the worker's device and disk; the job is tried again from its last checkpoint.",
        "训练长时间没有进展。",
        "请检查工作节点的设备与磁盘；任务将从最近的检查点重试。",
    ),
    FailureReason.DISK_FULL: _Facts(
        False,
        "The disk is full.",
        "Free space under the worker's work directory (STEPLINE_WORK_DIR) or lower checkpoint.keep, then retry.",
        "磁盘已满。",
        "请清理工作节点的工作目录（STEPLINE_WORK_DIR）或减小 checkpoint.keep，然后重试。",
    ),
    FailureReason.DEVICE_UNUSABLE: _Facts(
        False,
        "The device cannot compute in 4 bits.",
        "Check driver, CUDA and bitsandbytes versions on the worker; `stepline doctor` says what is wrong.",
        "设备无法进行 4 位计算。",
        "请检查工作节点上的驱动、CUDA 与 bitsandbytes 版本；`stepline doctor` 会指出问题。",
    ),
    FailureReason.CHILD_KILLED: _Facts(
        True,
        "The training process was killed from outside.",
        "Look at the worker host's log; the job is tried again from its last checkpoint.",
        "训练进程被外部终止。",
        "请查看工作节点的系统日志；任务将从最近的检查点重试。",
    ),
    FailureReason.UPLOAD_FAILED: _Facts(
        True,
        "The results could not be uploaded to the server.",
        "Check the server's storage and free space; the job is tried again.",
        "结果无法上传到服务器。",
        "请检查服务器的存储与剩余空间；任务将会重试。",
    ),
    FailureReason.CRASHED: _Facts(
        False,
        "The training process ended with an unexpected error.",
        "The detail and the job's logs hold the traceback; please report it.",
        "训练进程因意外错误退出。",
        "详情与任务日志中有完整的错误信息；请反馈给我们。",
    ),
    FailureReason.ATTEMPTS_EXHAUSTED: _Facts(
        False,
        "Worker after worker was lost while running this job.",
        "Look at the attempts and the workers' hosts, then submit the job again.",
        "执行该任务的工作节点接连失联。",
        "请查看各次尝试与工作节点主机，然后重新提交任务。",
    ),
}
