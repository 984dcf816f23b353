"""Why errands fail, with a message for users in English and Chinese."""

from enum import StrEnum

from contracts.failure import Language


class ErrandReason(StrEnum):
    """Why an errand failed."""

    MODEL_NOT_FOUND = "model_not_found"
    REVISION_NOT_FOUND = "revision_not_found"
    MODEL_GATED = "model_gated"
    MODEL_REFUSED = "model_refused"
    DATASET_INVALID = "dataset_invalid"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    RESULT_TOO_LARGE = "result_too_large"
    DOWNLOAD_FAILED = "download_failed"
    DISK_FULL = "disk_full"
    DATASET_NOT_FOUND = "dataset_not_found"
    DATASET_GATED = "dataset_gated"
    SPLIT_NOT_FOUND = "split_not_found"
    DATASET_HAS_SCRIPT = "dataset_has_script"
    DATASET_TOO_LARGE = "dataset_too_large"
    DATASET_UNREADABLE = "dataset_unreadable"
    DATASET_REJECTED = "dataset_rejected"  # set by the server: the rows are invalid
    CRASHED = "crashed"
    WORKER_LOST = "worker_lost"  # set by the server: the workers that ran it stopped responding
    UNCLAIMED = "unclaimed"  # set by the server: no worker claimed it in time
    CANCELLED = "cancelled"  # set by the server: a user cancelled it

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self in {
            ErrandReason.CANCELLED,
            ErrandReason.CRASHED,
            ErrandReason.DISK_FULL,
            ErrandReason.DOWNLOAD_FAILED,
            ErrandReason.TIME_LIMIT,
            ErrandReason.UNCLAIMED,
            ErrandReason.WORKER_LOST,
        }

    def message(self, language: Language = "en") -> str:
        """Return one sentence that says what happened."""
        return _MESSAGES[self][language == "zh"]


_MESSAGES: dict[ErrandReason, tuple[str, str]] = {
    ErrandReason.MODEL_NOT_FOUND: (
        "The model was not found: it is no longer on the worker, or, for a download, the hub has no such model, or it is private.",
        "找不到该模型：工作节点上已没有该模型；如果是下载，则 Hub 上没有该模型，或者它是私有的。",
    ),
    ErrandReason.REVISION_NOT_FOUND: (
        "The model has no such revision on the hub. Use the name of a branch, a tag or a commit.",
        "Hub 上的该模型没有这个版本。请填写已有的分支、标签或提交。",
    ),
    ErrandReason.MODEL_GATED: (
        "The hub requires permission for this model. Accept its licence on the hub, and set HF_TOKEN on the workers.",
        "该模型需要授权。请先在 Hub 上接受其许可协议，并在工作节点上设置 HF_TOKEN。",
    ),
    ErrandReason.MODEL_REFUSED: (
        "The model's tokenizer or chat template cannot be used.",
        "模型的分词器或对话模板无法使用。",
    ),
    ErrandReason.DATASET_INVALID: (
        "A row cannot be trained on.",
        "有一行数据无法用于训练。",
    ),
    ErrandReason.TIME_LIMIT: ("The time limit was reached.", "超过时间限制。"),
    ErrandReason.MEMORY_LIMIT: ("The memory limit was reached.", "超过内存限制。"),
    ErrandReason.RESULT_TOO_LARGE: (
        "The result is too large. Ask for fewer rows or a smaller max_length.",
        "结果过大。请减少行数或减小 max_length。",
    ),
    ErrandReason.DOWNLOAD_FAILED: (
        "The download from the hub failed.",
        "从 Hub 下载失败。",
    ),
    ErrandReason.DISK_FULL: ("The disk is full.", "磁盘已满。"),
    ErrandReason.DATASET_NOT_FOUND: (
        "The hub has no such dataset or revision, or it is private.",
        "Hub 上没有该数据集或该版本，或者它是私有的。",
    ),
    ErrandReason.DATASET_GATED: (
        "The hub requires permission for this dataset. Accept its terms on the hub, and set HF_TOKEN on the workers.",
        "该数据集需要授权。请先在 Hub 上接受其条款，并在工作节点上设置 HF_TOKEN。",
    ),
    ErrandReason.SPLIT_NOT_FOUND: (
        "The dataset has no such split or config, or the split contains no rows.",
        "该数据集没有所填的 split 或 config，或者该 split 没有数据。",
    ),
    ErrandReason.DATASET_HAS_SCRIPT: (
        "The dataset needs a Python script to load, and such scripts are never run.",
        "该数据集需要运行 Python 脚本才能加载；出于安全考虑，不会运行此类脚本。",
    ),
    ErrandReason.DATASET_TOO_LARGE: (
        "The rows are larger than STEPLINE_MAX_UPLOAD_BYTES. Import a part with a split such as train[:10000].",
        "数据超过 STEPLINE_MAX_UPLOAD_BYTES 的上限。可用 train[:10000] 之类的 split 只导入一部分。",
    ),
    ErrandReason.DATASET_UNREADABLE: (
        "The files of the dataset cannot be read, or have different columns.",
        "无法读取该数据集的文件，或各文件的列不一致。",
    ),
    ErrandReason.DATASET_REJECTED: (
        "The server rejected the rows.",
        "服务器拒绝了这些数据。",
    ),
    ErrandReason.CANCELLED: ("A user cancelled it.", "已被用户取消。"),
    ErrandReason.CRASHED: (
        "The process ended unexpectedly on the worker.",
        "工作节点上的进程意外退出。",
    ),
    ErrandReason.WORKER_LOST: (
        "The workers that ran it stopped responding.",
        "执行它的工作节点失去联系。",
    ),
    ErrandReason.UNCLAIMED: (
        "No worker started it in time.",
        "没有工作节点及时接收。",
    ),
}
