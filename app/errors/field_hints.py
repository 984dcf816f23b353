"""Hints for invalid fields in English and Chinese."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from contracts.failure import Language
from contracts.field_error import FieldProblem

_MODELS = (
    "GET /v1/models lists the models on the workers.",
    "GET /v1/models 列出各工作节点上的模型。",
)
_DATASETS = (
    "Upload the rows with POST /v1/datasets, or choose an id from GET /v1/datasets.",
    "请用 POST /v1/datasets 上传数据，或从 GET /v1/datasets 中选择一个 id。",
)
_TRAIN = (
    'Upload the rows with POST /v1/datasets and send its id: {"dataset": {"train": "ds_…"}}.',
    '请用 POST /v1/datasets 上传数据，再传入返回的 id：{"dataset": {"train": "ds_…"}}。',
)

_MIXTURE = (
    'Mix datasets as {"dataset": {"train": [{"dataset": "ds_…", "weight": 2}, {"dataset": "ds_…"}]}}; a single one needs no list.',
    '混合多个数据集请写作 {"dataset": {"train": [{"dataset": "ds_…", "weight": 2}, {"dataset": "ds_…"}]}}；只有一个数据集时不需要数组。',
)

HINTS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("missing", "model"): _MODELS,
    ("missing", "dataset"): _TRAIN,
    ("missing", "dataset.train"): _TRAIN,
    (FieldProblem.INVALID_MODEL_NAME, "model"): _MODELS,
    (FieldProblem.INVALID_DATASET_ID, "dataset.train"): _DATASETS,
    (FieldProblem.INVALID_DATASET_ID, "dataset.train[].dataset"): _DATASETS,
    (FieldProblem.INVALID_DATASET_ID, "dataset.eval"): _DATASETS,
    ("missing", "dataset.train[].dataset"): _MIXTURE,
    ("too_short", "dataset.train"): _MIXTURE,
}
"""Hints by pydantic's error type and the dotted path of the field, without indexes."""
_INDEX = re.compile(r"\[\d+\]")

_NUMBERS = {"int_type", "float_type"}


def field_hint(error: Mapping[str, Any], param: str | None, language: Language) -> str:
    """Return a hint for an error of `ValidationError.errors()`, or ""."""
    kind, value = error["type"], error.get("input")
    if kind in _NUMBERS | {"bool_type"} and isinstance(value, str):
        written = _unquoted(value, kind)
        return "" if written is None else _without_quotes(written, language)
    if kind == "string_type" and isinstance(value, int | float):
        text = json.dumps(str(json.dumps(value))) if math.isfinite(value) else None
        return "" if text is None or len(text) > 40 else _with_quotes(text, language)
    hint = HINTS.get((kind, _INDEX.sub("[]", param or "")))
    return "" if hint is None else hint[1 if language == "zh" else 0]


def guess_hint(name: str | None, language: Language) -> str:
    """Return a "Did you mean …?" question; "" without a name."""
    if name is None:
        return ""
    return f"您是不是要写 {name}？" if language == "zh" else f"Did you mean {name}?"


def parts_hint(names: list[str], language: Language) -> str:
    """Return a hint that lists an object's fields; "" without names."""
    if not names:
        return ""
    return (
        f"其字段为：{', '.join(names)}。"
        if language == "zh"
        else f"Its fields: {', '.join(names)}."
    )


def _unquoted(value: str, kind: str) -> str | None:
    """Return the JSON number or boolean in a string, or None."""
    text = value.strip()
    if len(text) > 40:
        return None
    if kind == "bool_type":
        return text.lower() if text.lower() in {"true", "false"} else None
    try:
        number = json.loads(text)
    except ValueError:
        return None
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return text if is_number and math.isfinite(number) else None


def _without_quotes(written: str, language: Language) -> str:
    if language == "zh":
        return f"请去掉引号：{written}。"
    return f"Write it without quotation marks: {written}"


def _with_quotes(written: str, language: Language) -> str:
    return (
        f"请加上引号：{written}。"
        if language == "zh"
        else f"Write it in quotation marks: {written}"
    )
