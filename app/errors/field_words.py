"""Error messages for single fields in English and Chinese, with their codes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.failure import Language
from contracts.field_error import FieldProblem

MOST_SHOWN_CHARACTERS = 60
"""Maximum length of a rejected value to include in a message."""


class FieldCode(StrEnum):
    """Codes of errors found by pydantic. Our own validators use the codes of FieldProblem."""

    REQUIRED = "required"
    UNKNOWN_FIELD = "unknown_field"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_A_LIST = "not_a_list"
    NOT_A_STRING = "not_a_string"
    NOT_UNICODE = "not_unicode"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    PATTERN_MISMATCH = "pattern_mismatch"
    NOT_AN_INTEGER = "not_an_integer"
    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    NOT_A_BOOLEAN = "not_a_boolean"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    TOO_FEW = "too_few"
    TOO_MANY = "too_many"
    INVALID_VALUE = "invalid_value"


@dataclass(frozen=True)
class FieldWords:
    """The messages for one type of error. `{names}` are values of the error's `ctx`."""

    code: FieldCode | FieldProblem
    en: str
    zh: str
    shows_value: bool = True
    """Whether to include the value in the message if it is short."""


def field_message(
    errors: Sequence[Mapping[str, Any]], language: Language, bounds: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """Return the code and message for the errors of one field, taken from `ValidationError.errors()`.

    A field has several errors only if its value matches no member of a union. The message states both of the field's
    `bounds`, even though the value violates only one.
    """
    worded = [FIELD_WORDS.get(error["type"], UNKNOWN_ERROR) for error in errors]
    [code, *others] = {words.code for words in worded}
    messages = [
        _fill(words, error, language) + _other_bound(error, bounds or {}, language)
        for words, error in zip(worded, errors, strict=True)
    ]
    message = ("，或" if language == "zh" else ", or ").join(dict.fromkeys(messages))
    shown = _shown(errors[0].get("input")) if worded[0].shows_value else None
    if shown is not None:
        message += f"（实际为 {shown}）" if language == "zh" else f" (got {shown})"
    return (FieldCode.INVALID_VALUE if others else code).value, message


def _fill(words: FieldWords, error: Mapping[str, Any], language: Language) -> str:
    values = {name: _written(value, language) for name, value in (error.get("ctx") or {}).items()}
    return (words.zh if language == "zh" else words.en).format_map(values)


def _other_bound(error: Mapping[str, Any], bounds: Mapping[str, Any], language: Language) -> str:
    """Return a clause with the bound that was not violated; "" if there is none."""
    opposite = {"gt": ("lt", "le"), "ge": ("lt", "le"), "lt": ("gt", "ge"), "le": ("gt", "ge")}
    violated = BOUND_ERRORS.get(error["type"])
    for name in opposite.get(violated or "", ()):
        if name in bounds:
            kind = next(kind for kind, bound in BOUND_ERRORS.items() if bound == name)
            sentence = _fill(FIELD_WORDS[kind], {"ctx": {name: bounds[name]}}, language)
            if language == "zh":
                return f"，且{sentence.removeprefix('应')}"
            return f" and {sentence.removeprefix('must be ')}"
    return ""


def _written(value: object, language: Language) -> object:
    if isinstance(value, list):
        return _listed(value, language)
    # pydantic converts bounds to the type of the field.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(options: list[object], language: Language) -> str:
    *others, last = [f"'{option}'" for option in options]
    if not others:
        return last
    if language == "zh":
        return f"{'、'.join(others)} 或 {last}"
    return f"{', '.join(others)} or {last}"


def _shown(value: object) -> str | None:
    """Return a value as JSON if it is short and may be shown, or None."""
    if isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=False) if len(value) <= MOST_SHOWN_CHARACTERS else ""
    elif isinstance(value, int) and not isinstance(value, bool):
        # Python does not convert integers with more than 4300 digits to text.
        shown = str(value) if value.bit_length() <= 4 * MOST_SHOWN_CHARACTERS else ""
    elif value is None or isinstance(value, bool | float):
        shown = json.dumps(value)
    else:
        shown = ""
    return shown if 0 < len(shown) <= MOST_SHOWN_CHARACTERS else None


BOUND_ERRORS: Mapping[str, str] = {
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
}
"""The name of the bound that a value violates, by pydantic's error type."""

UNKNOWN_ERROR = FieldWords(FieldCode.INVALID_VALUE, "is not a valid value", "值无效")
"""Used for error types that are not in the table."""

_OBJECT = FieldWords(FieldCode.NOT_AN_OBJECT, "must be an object", "应为对象")
_INTEGER = FieldWords(FieldCode.NOT_AN_INTEGER, "must be an integer", "应为整数")
_NUMBER = FieldWords(FieldCode.NOT_A_NUMBER, "must be a number", "应为数字")
_BOOLEAN = FieldWords(FieldCode.NOT_A_BOOLEAN, "must be true or false", "应为 true 或 false")
_OPTION = FieldWords(FieldProblem.NOT_AN_OPTION, "must be {expected}", "应为 {expected}")
_TIME = FieldWords(
    FieldProblem.INVALID_TIME,
    "must be a date and time with a time zone, such as 2026-01-31T08:00:00Z",
    "应为带时区的日期时间，例如 2026-01-31T08:00:00Z",
)

FIELD_WORDS: dict[str, FieldWords] = {
    "missing": FieldWords(FieldCode.REQUIRED, "is required", "缺少该字段", shows_value=False),
    "extra_forbidden": FieldWords(
        FieldCode.UNKNOWN_FIELD,
        "is not a known field; check its spelling and its location in the body",
        "未知字段，请检查拼写和所在层级",
        shows_value=False,
    ),
    "json_invalid": FieldWords(
        FieldCode.NOT_JSON,
        "is not valid JSON: {error}",
        "不是合法的 JSON：{error}",
        shows_value=False,
    ),
    "json_type": FieldWords(FieldCode.NOT_JSON, "must be JSON", "应为 JSON"),
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": FieldWords(FieldCode.NOT_A_LIST, "must be a list", "应为数组"),
    "string_type": FieldWords(FieldCode.NOT_A_STRING, "must be a string", "应为字符串"),
    "string_unicode": FieldWords(
        FieldCode.NOT_UNICODE,
        "contains characters that UTF-8 cannot encode",
        "含有 UTF-8 无法编码的字符",
        shows_value=False,
    ),
    "string_too_short": FieldWords(
        FieldCode.TOO_SHORT,
        "must have {min_length} or more characters",
        "至少需要 {min_length} 个字符",
    ),
    "string_too_long": FieldWords(
        FieldCode.TOO_LONG,
        "must not have more than {max_length} characters",
        "最多 {max_length} 个字符",
        shows_value=False,
    ),
    "string_pattern_mismatch": FieldWords(
        FieldCode.PATTERN_MISMATCH, "must match the pattern {pattern}", "应匹配正则表达式 {pattern}"
    ),
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": FieldWords(
        FieldCode.NOT_AN_INTEGER, "must be a whole number", "应为整数，不能带小数"
    ),
    "int_parsing_size": FieldWords(FieldCode.TOO_LARGE, "is too large for an integer", "整数过大"),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": FieldWords(
        FieldCode.NOT_FINITE, "must be a finite number", "不能是 NaN 或无穷大"
    ),
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "literal_error": _OPTION,
    "enum": _OPTION,
    "greater_than": FieldWords(FieldCode.TOO_SMALL, "must be greater than {gt}", "应大于 {gt}"),
    "greater_than_equal": FieldWords(FieldCode.TOO_SMALL, "must be at least {ge}", "应不小于 {ge}"),
    "less_than": FieldWords(FieldCode.TOO_LARGE, "must be less than {lt}", "应小于 {lt}"),
    "less_than_equal": FieldWords(FieldCode.TOO_LARGE, "must be at most {le}", "应不大于 {le}"),
    "too_short": FieldWords(
        FieldCode.TOO_FEW, "must have {min_length} or more entries", "至少需要 {min_length} 项"
    ),
    "too_long": FieldWords(
        FieldCode.TOO_MANY, "must not have more than {max_length} entries", "最多 {max_length} 项"
    ),
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": _TIME,
    FieldProblem.INVALID_EVAL_SIZE: FieldWords(
        FieldProblem.INVALID_EVAL_SIZE,
        "must be a number of rows from 1 to {most}, a share between 0 and 1, or 'auto'",
        "应为 1 到 {most} 的行数、0 到 1 之间的比例，或 'auto'",
    ),
    FieldProblem.INVALID_WARMUP_STEPS: FieldWords(
        FieldProblem.INVALID_WARMUP_STEPS,
        "must be a number of steps from 0 to {most}, or a share of the run below 1",
        "应为 0 到 {most} 的步数，或小于 1 的比例",
    ),
    FieldProblem.INVALID_TARGET_MODULES: FieldWords(
        FieldProblem.INVALID_TARGET_MODULES,
        "must be 'all-linear' or a list of module names, such as ['q_proj', 'v_proj']",
        "应为 'all-linear' 或模块名列表，例如 ['q_proj', 'v_proj']",
    ),
    FieldProblem.INVALID_TOKEN_BUDGET: FieldWords(
        FieldProblem.INVALID_TOKEN_BUDGET,
        "must be a number of tokens from {fewest} to {most}, or 'auto'",
        "应为 {fewest} 到 {most} 之间的 token 数，或 'auto'",
    ),
    FieldProblem.INVALID_GPUS: FieldWords(
        FieldProblem.INVALID_GPUS,
        "must be a number of GPUs from 1 to {most}, or 'all'",
        "应为 1 到 {most} 的 GPU 数，或 'all'",
    ),
    FieldProblem.INVALID_COUNT_OR_AUTO: FieldWords(
        FieldProblem.INVALID_COUNT_OR_AUTO,
        "must be an integer from {fewest} to {most}, or 'auto'",
        "应为 {fewest} 到 {most} 的整数，或 'auto'",
    ),
    FieldProblem.INVALID_NUMBER_OR_AUTO: FieldWords(
        FieldProblem.INVALID_NUMBER_OR_AUTO,
        "must be a number above 0 and at most {most}, or 'auto'",
        "应为大于 0 且不超过 {most} 的数，或 'auto'",
    ),
    FieldProblem.INVALID_MODEL_NAME: FieldWords(
        FieldProblem.INVALID_MODEL_NAME,
        "must be a directory name or a hub id, such as 'Qwen/Qwen2-0.5B-Instruct'",
        "应为模型目录名或 Hub 上的模型 id，例如 'Qwen/Qwen2-0.5B-Instruct'",
    ),
    FieldProblem.INVALID_DATASET_ID: FieldWords(
        FieldProblem.INVALID_DATASET_ID,
        "must be 'ds_…' as returned by POST /v1/datasets, or {{\"hub\": …}}",
        "应为 POST /v1/datasets 返回的 'ds_…'，或 {{\"hub\": …}}",
    ),
    FieldProblem.INVALID_SPLIT: FieldWords(
        FieldProblem.INVALID_SPLIT,
        "must be the name of a split, such as 'train', a part of it, such as 'train[:1000]' or 'train[:10%]', or several joined with '+'",
        "应为 split 名称（如 'train'）、其中一部分（如 'train[:1000]' 或 'train[:10%]'），或用 '+' 连接的多个 split",
    ),
    FieldProblem.DUPLICATE_DATASET: FieldWords(
        FieldProblem.DUPLICATE_DATASET,
        "must not contain {dataset} twice. To use its rows more often, raise its weight (at most {most})",
        "不能重复包含 {dataset}；如需多次使用其数据，请调大该数据集的 weight（最大 {most}）",
        shows_value=False,
    ),
    FieldProblem.INVALID_TIME: FieldWords(
        FieldProblem.INVALID_TIME,
        "must be a time with a time zone, such as 2026-01-31T08:00:00Z, or a day, such as 2026-01-31 (00:00 UTC); "
        "write + as %2B in a URL",
        "应为带时区的时间，例如 2026-01-31T08:00:00Z，或日期，例如 2026-01-31（UTC 零点）；URL 中的 + 须写作 %2B",
    ),
    FieldProblem.YEAR_OUT_OF_RANGE: FieldWords(
        FieldProblem.YEAR_OUT_OF_RANGE,
        "must be between the years 1 and 9999 in UTC",
        "换算为 UTC 后，年份应在 1 到 9999 之间",
    ),
    FieldProblem.NOT_TRUE_FALSE_OR_AUTO: FieldWords(
        FieldProblem.NOT_TRUE_FALSE_OR_AUTO,
        "must be true, false or 'auto'",
        "应为 true、false 或 'auto'",
    ),
    FieldProblem.NOT_AN_OPTION: FieldWords(
        FieldProblem.NOT_AN_OPTION, "must be {options}", "应为 {options}"
    ),
    FieldProblem.NOT_A_FILE: FieldWords(
        FieldProblem.NOT_A_FILE,
        "must be a file, not text: curl -F file=@rows.json",
        "应为文件，不能是文本：curl -F file=@rows.json",
        shows_value=False,
    ),
    FieldProblem.BEYOND_CONTEXT: FieldWords(
        FieldProblem.BEYOND_CONTEXT,
        "must be at most {longest}, the maximum context length of {model}",
        "应不大于 {longest}，即 {model} 的最大上下文长度",
    ),
    FieldProblem.UNKNOWN_MODULE: FieldWords(
        FieldProblem.UNKNOWN_MODULE,
        "must be 'all-linear' or a list of linear modules of {model}: {modules}",
        "应为 'all-linear' 或 {model} 的线性层：{modules}",
    ),
    FieldProblem.TEMPLATE_LACKS: FieldWords(
        FieldProblem.TEMPLATE_LACKS,
        "contains {what}, which the chat template of {model} does not render (rows affected: {rows})",
        "有 {rows} 条数据含 {what}，但 {model} 的对话模板不会写出这些内容",
        shows_value=False,
    ),
    FieldProblem.UNKNOWN_PRESET: FieldWords(
        FieldProblem.UNKNOWN_PRESET,
        "is not a preset; use {options}",
        "没有这个预设；请使用 {options}",
    ),
    FieldProblem.PREFERENCE_REQUIRED: FieldWords(
        FieldProblem.PREFERENCE_REQUIRED,
        "must be 'chosen_only', because {dataset} contains rated answers ({forms}; rows: {rows}). Training then uses only the "
        "good answers. If the labels are classes, upload the file again with ?format=prompt, which ignores them",
        "应为 'chosen_only'：{dataset} 中有 {rows} 条偏好数据（{forms}），设置后只在好的回答上训练。如果标签是类别而不是评价，"
        "请用 ?format=prompt 重新上传，标签会被忽略",
        shows_value=False,
    ),
}
"""Messages by pydantic error type. For our own validators, the type is the code."""
