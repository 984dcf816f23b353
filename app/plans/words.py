"""The reasons and warnings of a plan in English and Chinese."""

from typing import Any

from pydantic import BaseModel

from app.plans.schemas import Note
from contracts.failure import Language
from contracts.values.text import escape_lines

Words = dict[Language, str]

WORDS: dict[str, Words] = {
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
        "en": "The files of this model do not contain its dimensions in a known format.",
        "zh": "无法从该模型的文件中识别各层尺寸。",
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
    "tokens_estimated": {
        "en": "Estimated from characters. To have a worker count the tokens with the model {model}, use POST /v1/datasets/{dataset}/tokens.",
        "zh": "根据字符数估算。用 POST /v1/datasets/{dataset}/tokens 可让工作节点以模型 {model} 实际统计 token。",
    },
    "tokens_estimated.mixed": {
        "en": "Estimated from characters, because the tokens of these datasets have not been counted with the model {model}: {datasets}. "
        "POST /v1/datasets/{dataset}/tokens has a worker count the tokens of {dataset}.",
        "zh": "根据字符数估算，因为尚未以模型 {model} 统计以下数据集的 token：{datasets}。用 POST /v1/datasets/{dataset}/tokens 可让工作节点统计 {dataset}。",
    },
    "rows_over_length": {
        "en": "Rows longer than training.max_length ({max_length} tokens): {rows} ({percent} %).",
        "zh": "超过 training.max_length（{max_length} token）的数据：{rows} 条（{percent}%）。",
    },
    "rows_over_length.measured_sample": {
        "en": "Rows longer than training.max_length ({max_length} tokens): about {rows} ({percent} %), estimated from a sample of the rows.",
        "zh": "超过 training.max_length（{max_length} token）的数据：约 {rows} 条（{percent}%），根据抽样统计估算。",
    },
    "rows_over_length.sample": {
        "en": "Rows longer than training.max_length ({max_length} tokens): about {percent} %, estimated from characters.",
        "zh": "超过 training.max_length（{max_length} token）的数据：约 {percent}%，根据字符数估算。",
    },
    "rows_over_length.characters": {
        "en": "Rows that are probably longer than training.max_length ({max_length} tokens) and would be cut or dropped: about {rows}, estimated "
        "from characters.",
        "zh": "约有 {rows} 条数据很可能超过 training.max_length（{max_length} token），将被截断或丢弃；根据字符数估算。",
    },
    "answers_cut": {
        "en": "Rows that lose part of their trained answers at this length: {rows}. Rows that lose all of them and are skipped: {dropped_rows}.",
        "zh": "在此长度下，{rows} 条数据会丢失部分回答，{dropped_rows} 条会失去全部回答而被跳过。",
    },
    "answers_cut.measured_sample": {
        "en": "Rows that lose part of their trained answers at this length: about {rows}. Rows that lose all of them and are skipped: "
        "about {dropped_rows}.",
        "zh": "在此长度下，约 {rows} 条数据会丢失部分回答，约 {dropped_rows} 条会失去全部回答而被跳过。",
    },
    "answers_cut.sample": {
        "en": "Rows that lose part of their trained answers at this length: about {percent} %. Rows that lose all of them and are skipped: "
        "about {dropped_percent} % (estimated from characters).",
        "zh": "在此长度下，约 {percent}% 的数据会丢失部分回答，约 {dropped_percent}% 会失去全部回答而被跳过（根据字符数估算）。",
    },
    "answers_cut.raise": {
        "en": " With training.max_length = {advised_max_length}, fewer than 1 % of the rows are affected.",
        "zh": "若 training.max_length = {advised_max_length}，受影响的数据不到 1%。",
    },
    "answers_cut.split": {
        "en": " Split or shorten long rows: the model's maximum context length, {context} tokens, is too short for more than 1 % of the rows.",
        "zh": "请拆分或缩短过长的数据：模型的最大上下文（{context} token）对 1% 以上的数据仍然不够。",
    },
    "rows_refused": {
        "en": "The model's chat template rejects rows: {rows}. Row {row} (counted from 0): {error} A job with these rows fails: remove them, "
        "or use another model.",
        "zh": "模型的对话模板拒绝了 {rows} 条数据。第 {row} 行（从 0 开始）：{error} 任务遇到这些数据会失败：请删除它们，或换用其他模型。",
    },
    "rows_refused.mixed": {
        "en": "The model's chat template rejects rows of {dataset}: {rows}. Row {row} (counted from 0): {error} A job that uses one of these rows "
        "fails: remove them, or use another model.",
        "zh": "模型的对话模板拒绝了 {dataset} 中的 {rows} 条数据。第 {row} 行（从 0 开始）：{error} 任务用到这些数据时会失败：请删除它们，或换用其他模型。",
    },
    "evaluation_expensive": {
        "en": "Evaluation rows are {percent} % of all processed rows. Lower dataset.eval_size or raise evaluation.every_steps to shorten "
        "the job.",
        "zh": "评估占数据处理总量的 {percent}%。调小 dataset.eval_size 或调大 evaluation.every_steps 可以缩短训练时间。",
    },
    "memory_scarce": {
        "en": "On {worker}, the peak may exceed the device's memory of {available_bytes}. If memory runs out, the job tries "
        "settings that need less.",
        "zh": "在 {worker} 上，内存峰值可能超过设备的 {available_bytes}；内存不足时会改用占用更少的设置重试。",
    },
    "budget_lowered": {
        "en": "On {worker}, micro-batches of {token_budget} tokens (engine.token_budget) need about {needed_bytes}, and a job can use "
        "{available_bytes} of the device's memory. Each time the memory runs out, the job halves the budget, to about {lowered} tokens. Set engine.token_budget to auto "
        "to plan it from the start.",
        "zh": "在 {worker} 上，{token_budget} token 的微批（engine.token_budget）约需 {needed_bytes}，而任务在该设备上只能使用 {available_bytes}。每次内存不足时任务会将其减半，"
        "直至约 {lowered} token。把 engine.token_budget 设为 auto 可在开始时就选好。",
    },
    "epochs_ignored": {
        "en": "training.epochs ({epochs}) is not used, because training.max_steps ({max_steps}) alone decides the length of the run. To train "
        "by epochs, set training.max_steps to null.",
        "zh": "training.epochs（{epochs}）不起作用，因为训练长度只由 training.max_steps（{max_steps}）决定。如需按 epoch 训练，请把 training.max_steps 设为 null。",
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
    """Return a note as a sentence, with its advice; empty if a later version wrote it with a code unknown to this one.

    A code may have a separate wording for each value of `basis` and of `advice`.
    """
    words = _variant(note, "basis") or WORDS.get(note.code)
    if words is None:
        return ""
    values = {name: _shown(name, value) for name, value in note.values.items()}
    advice = _variant(note, "advice")
    sentence = words[language] + ("" if advice is None else advice[language])
    return sentence.format_map(values)


def _variant(note: Note, name: str) -> Words | None:
    return WORDS.get(f"{note.code}.{note.values.get(name)}")


def _shown(name: str, value: float | str) -> str:
    if isinstance(value, str):
        return escape_lines(value)
    if name.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,}"


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
