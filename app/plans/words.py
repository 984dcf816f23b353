"""The reasons and warnings of a plan in English and Chinese."""

from typing import Any

from pydantic import BaseModel

from app.plans.schemas import Note
from contracts.failure import Language
from contracts.values.text import escape_lines

WORDS: dict[str, dict[Language, str]] = {
    "rows_unknown": {
        "en": "The dataset is on the hub, and the server does not read its rows.",
        "zh": "数据集在 Hub 上，服务器不读取其内容。",
    },
    "rows_unreadable": {
        "en": "The rows of the dataset could not be read.",
        "zh": "无法读取数据集的内容。",
    },
    "steps_unknown": {
        "en": "The number of steps is not known before the rows are tokenized.",
        "zh": "分词之前无法确定训练步数。",
    },
    "model_unknown": {
        "en": "No worker has read the files of this model.",
        "zh": "还没有工作节点读取过该模型的文件。",
    },
    "sizes_unknown": {
        "en": "The files of this model do not give its dimensions in a known form.",
        "zh": "该模型的文件没有以已知的形式给出各层尺寸。",
    },
    "memory_unreported": {
        "en": "The worker has not reported the memory of its device.",
        "zh": "工作节点没有上报设备的内存大小。",
    },
    "not_measured": {
        "en": "No job with this model has finished on a device of this kind yet.",
        "zh": "还没有使用该模型的任务在这类设备上完成过。",
    },
    "no_worker": {
        "en": "No worker that could run the job is online.",
        "zh": "没有能运行该任务的在线工作节点。",
    },
    "too_little_memory": {
        "en": "The job needs at least {needed_bytes}; the largest device of the online workers has {largest_bytes}.",
        "zh": "任务至少需要 {needed_bytes}，而在线工作节点中最大的设备只有 {largest_bytes}。",
    },
    "rows_truncated": {
        "en": "About {percent} % of the rows are longer than training.max_length ({max_length} tokens) and will be cut or "
        "dropped.",
        "zh": "约 {percent}% 的数据超过 training.max_length（{max_length} token），将被截断或丢弃。",
    },
    "evaluation_expensive": {
        "en": "Evaluations process {percent} % of all rows. Lower dataset.eval_size or raise evaluation.every_steps to shorten "
        "the job.",
        "zh": "评估占数据处理总量的 {percent}%。调小 dataset.eval_size 或调大 evaluation.every_steps 可以缩短训练时间。",
    },
    "memory_scarce": {
        "en": "On {worker}, the peak may exceed the device's memory of {available_bytes}. The job is tried with less memory "
        "if it runs out.",
        "zh": "在 {worker} 上，峰值可能超过设备的 {available_bytes}；内存不足时会减少用量重试。",
    },
    "no_checkpoint": {
        "en": "The run has {steps} steps and writes its first checkpoint at step {every_steps}. If its worker is lost, the job starts "
        "over.",
        "zh": "训练共 {steps} 步，而第一个检查点在第 {every_steps} 步；如果工作节点中途失联，任务将从头开始。",
    },
}


def say(model: BaseModel, language: Language) -> dict[str, Any]:
    """Return a model as plain data, with the messages of all its notes in a language."""
    content: dict[str, Any] = model.model_dump(mode="json")
    _fill(content, language)
    return content


def message_of(note: Note, language: Language) -> str:
    """Return a note as a sentence; empty if a later version wrote it with an unknown code."""
    words = WORDS.get(note.code)
    if words is None:
        return ""
    values = {name: _shown(name, value) for name, value in note.values.items()}
    return words[language].format_map(values)


def _shown(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return escape_lines(value)
    return f"{value / 2**30:.1f} GiB" if name.endswith("_bytes") else f"{value:,}"


def _fill(content: Any, language: Language) -> None:
    if isinstance(content, list):
        for item in content:
            _fill(item, language)
    elif isinstance(content, dict):
        if content.keys() == Note.model_fields.keys():
            content["message"] = message_of(Note.model_validate(content), language)
        else:
            for item in content.values():
                _fill(item, language)
