"""FailureReason: why an attempt failed, whether a retry can help, and a message and hint in English and Chinese."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.base import Tolerant

Language = Literal["en", "zh"]


DETAIL_CHARACTERS = 20_000


class FailureReason(StrEnum):
    """The reason for a failure. `is_retryable` is true if a retry, later or on another worker, can succeed."""

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
    DEVICE_FAILED = "device_failed"
    DEVICE_UNUSABLE = "device_unusable"  # stored and sent by earlier versions; now device_failed
    CHILD_KILLED = "child_killed"
    UPLOAD_FAILED = "upload_failed"
    CRASHED = "crashed"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"

    @property
    def is_retryable(self) -> bool:
        """Whether the job returns to the queue instead of failing."""
        return _FACTS[self].retryable

    def message(self, language: Language = "en") -> str:
        """Return a sentence that describes what happened."""
        facts = _FACTS[self]
        return facts.message_zh if language == "zh" else facts.message_en

    def hint(self, language: Language = "en") -> str:
        """Return one or two sentences on how to fix it."""
        facts = _FACTS[self]
        return facts.hint_zh if language == "zh" else facts.hint_en


class Failure(Tolerant):
    """A failure: its reason and the evidence."""

    reason: FailureReason
    detail: str = Field("", max_length=DETAIL_CHARACTERS)
    """The worker's description, in English."""
    step: int | None = None
    """Optimizer step at which the failure happened."""
    evidence: dict[str, str | int | float | bool | None] = {}
    """Measured values that support the reason."""


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
        "Copy the model to the worker's models directory (STEPLINE_MODELS_DIR), or check its hub id and revision.",
        "找不到模型。",
        "请将模型放入工作节点的模型目录（STEPLINE_MODELS_DIR），或检查 Hub 上的模型 id 和版本。",
    ),
    FailureReason.MODEL_REFUSED: _Facts(
        False,
        "The model is not supported.",
        "Use a causal language model with safetensors weights, a standard architecture and no custom code.",
        "不支持该模型。",
        "请使用因果语言模型：safetensors 权重、标准架构、不含自定义代码。",
    ),
    FailureReason.DATASET_NOT_FOUND: _Facts(
        False,
        "The dataset was not found.",
        "Check the dataset's hub id, configuration, split and revision, and that the worker can reach the hub.",
        "找不到数据集。",
        "请检查 Hub 上的数据集 id、配置、划分和版本，并确认工作节点能访问 Hub。",
    ),
    FailureReason.DATASET_INVALID: _Facts(
        False,
        "The dataset contains rows that cannot be used for training.",
        "The detail states the line and the problem. Fix or remove the row, then submit the job again.",
        "数据集中有无法用于训练的数据。",
        "行号和原因见详情。请修改或删除该行，然后重新提交任务。",
    ),
    FailureReason.DATASET_TOO_SMALL: _Facts(
        False,
        "The dataset has too few usable rows.",
        "Add rows or lower dataset.eval_size. If rows were dropped because they were too long, raise training.max_length.",
        "数据集中的可用数据太少。",
        "请增加数据或减小 dataset.eval_size；若有数据因过长被丢弃，请增大 training.max_length。",
    ),
    FailureReason.SPEC_REFUSED: _Facts(
        False,
        "The job spec is not compatible with the model or the device.",
        "Change the field named in the detail and submit the job again.",
        "任务配置与模型或设备不匹配。",
        "请修改详情中指出的字段，然后重新提交。",
    ),
    FailureReason.OOM_GPU: _Facts(
        False,
        "The GPU ran out of memory.",
        "Lower training.max_length or lora.rank, enable engine.activation_checkpointing, or use a GPU with more memory.",
        "显存不足。",
        "请减小 training.max_length 或 lora.rank，启用 engine.activation_checkpointing，或换用显存更大的 GPU。",
    ),
    FailureReason.OOM_HOST: _Facts(
        False,
        "The worker's host ran out of memory.",
        "Add memory to the host, or lower training.max_length or engine.token_budget.",
        "工作节点内存不足。",
        "请增加内存，或减小 training.max_length 或 engine.token_budget。",
    ),
    FailureReason.LOSS_NOT_FINITE: _Facts(
        False,
        "The loss or its gradient became NaN or infinite.",
        "Lower training.learning_rate, raise training.warmup_steps, or set quantization.compute_dtype to float32.",
        "loss 或梯度变为 NaN 或无穷大。",
        "请降低 training.learning_rate、增大 training.warmup_steps，或将 quantization.compute_dtype 设为 float32。",
    ),
    FailureReason.LOSS_ZERO: _Facts(
        False,
        "The loss was exactly zero for many steps.",
        "Check that the rows have answers. Set quantization.compute_dtype to float32 to rule out underflow.",
        "loss 连续多步为 0。",
        "请检查数据中是否有回答；也可将 quantization.compute_dtype 设为 float32，以排查下溢。",
    ),
    FailureReason.ADAPTER_FROZEN: _Facts(
        False,
        "The adapter's weights did not change.",
        "Raise training.learning_rate and check lora.target_modules.",
        "适配器权重没有变化。",
        "请提高 training.learning_rate，并检查 lora.target_modules。",
    ),
    FailureReason.NO_PROGRESS: _Facts(
        True,
        "Training made no progress for too long.",
        "Check the worker's device and disk. The job is retried from its last checkpoint.",
        "训练长时间没有进展。",
        "请检查工作节点的设备和磁盘。任务将从最近的检查点重试。",
    ),
    FailureReason.DISK_FULL: _Facts(
        False,
        "The worker's disk is full.",
        "Free space in the worker's work directory (STEPLINE_WORK_DIR) or lower checkpoint.keep. Then retry the job.",
        "工作节点磁盘已满。",
        "请清理工作节点的工作目录（STEPLINE_WORK_DIR）或减小 checkpoint.keep，然后重试任务。",
    ),
    FailureReason.DEVICE_FAILED: _Facts(
        True,
        "The device failed.",
        "Check the worker's GPU, driver and bitsandbytes; `stepline doctor` reports the problem. Another worker can run the job. "
        "If the job has failed, two devices failed while running it, or one device failed three times. Each passed a check "
        "afterwards, so also check the job's model and data.",
        "设备发生故障。",
        "请检查工作节点的 GPU、驱动和 bitsandbytes，`stepline doctor` 会指出问题。任务可由其他工作节点执行。"
        "如果任务已失败，说明执行它时有两台设备出错（或同一设备三次出错），且随后都通过了检测，请同时检查模型和数据。",
    ),
    FailureReason.DEVICE_UNUSABLE: _Facts(
        True,
        "The device does not support 4-bit computation.",
        "Check the versions of the driver, CUDA and bitsandbytes on the worker. `stepline doctor` reports the problem.",
        "设备不支持 4-bit 计算。",
        "请检查工作节点上驱动、CUDA 和 bitsandbytes 的版本。`stepline doctor` 会指出问题。",
    ),
    FailureReason.CHILD_KILLED: _Facts(
        True,
        "Another process or the system killed the training process.",
        "Check the system log of the worker's host. The job is retried from its last checkpoint.",
        "训练进程被系统或其他进程终止。",
        "请查看工作节点的系统日志。任务将从最近的检查点重试。",
    ),
    FailureReason.UPLOAD_FAILED: _Facts(
        True,
        "The worker could not upload the results to the server.",
        "Check the server's storage and its free space. The job is retried.",
        "工作节点无法将结果上传到服务器。",
        "请检查服务器的存储和剩余空间。任务将重试。",
    ),
    FailureReason.CRASHED: _Facts(
        False,
        "The training process ended with an unexpected error.",
        "The traceback is in the detail and in the job's logs. Please report the error.",
        "训练进程因意外错误退出。",
        "完整堆栈见详情和任务日志，请反馈给我们。",
    ),
    FailureReason.ATTEMPTS_EXHAUSTED: _Facts(
        False,
        "Too many workers were lost while running this job.",
        "Check the job's attempts and the workers' hosts, then retry the job.",
        "执行该任务的工作节点多次失联。",
        "请检查该任务的各次尝试和工作节点主机，然后重试任务。",
    ),
}
