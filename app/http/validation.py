"""What is wrong with a value, told to people: pydantic's errors and those of dataset rows, in English and Chinese."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.failure import Language
from contracts.job import MOST_ROWS, MOST_STEPS, MOST_TOKENS
from contracts.row_error import RowError


@dataclass(frozen=True)
class Problem:
    """One field that cannot be used, and why."""

    param: str | None
    sentence: str


OF_NO_FIELD = ("(", "[", "function-", "constrained-", "literal[")
"""How the parts of a location begin that name no field but a member of a union, or say that a key is meant."""


def validation_problems(errors: Sequence[Any], language: Language) -> list[Problem]:
    """Return pydantic's errors with dotted paths and in the caller's language, one for each field."""
    told: dict[str | None, list[str]] = {}
    for error in errors:
        told.setdefault(_dotted(error["loc"]), []).append(_complaint(error, language))
    # A field has several only where each member of a union says why it is not the one.
    either = "，或" if language == "zh" else ", or "
    return [Problem(param, either.join(sentences)) for param, sentences in told.items()]


def _dotted(location: Sequence[str | int]) -> str | None:
    # The first part says where the value stood (body, query …).
    parts = [str(part) for part in location[1:] if not str(part).startswith(OF_NO_FIELD)]
    return ".".join(part for part in parts if part) or None


def _complaint(error: Mapping[str, Any], language: Language) -> str:
    kind, said = error["type"], str(error["msg"]).removeprefix("Value error, ")
    template = (COMPLAINTS_ZH if language == "zh" else COMPLAINTS_EN).get(kind)
    figures = _Figures(error.get("ctx") or {})
    if language == "zh" and "expected" in figures:  # values, which pydantic lists in English
        figures["expected"] = (
            str(figures["expected"]).replace("' or '", "' 或 '").replace("', '", "'、'")
        )
    return template.format_map(figures) if template else said


class _Figures(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


def row_problem(error: RowError, number: int | None, language: Language) -> str:
    """Return where a row stands and what is wrong with it. `number` is its place among the rows, if that is known."""
    said = error.sentence(language)
    if language == "zh":
        row = f"第 {number} 条，" if number is not None else ""
        return f"{row}第 {error.line} 行：{said}"
    row = f"row {number}, " if number is not None else ""
    return f"{row}line {error.line}: {said}"


COMPLAINTS_EN: dict[str, str] = {
    "missing": "this field is required",
    "extra_forbidden": "there is no such field; check its spelling and the part that it is in",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "string_unicode": "has characters that UTF-8 cannot hold",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must not have more than {max_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_parsing_size": "is too large an integer",
    "int_from_float": "must be an integer, without a fraction",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must not have more than {max_length} entries",
}
"""Errors of pydantic's own, whose sentences speak of Python. Errors of the contracts bring a sentence."""

COMPLAINTS_ZH: dict[str, str] = {
    "missing": "缺少该字段",
    "extra_forbidden": "没有这个字段",
    "json_invalid": "不是合法的 JSON：{error}",
    "json_type": "应为 JSON",
    "model_type": "应为对象",
    "model_attributes_type": "应为对象",
    "dict_type": "应为对象",
    "list_type": "应为数组",
    "string_type": "应为字符串",
    "string_unicode": "含有无法用 UTF-8 表示的字符",
    "string_too_short": "至少需要 {min_length} 个字符",
    "string_too_long": "最多 {max_length} 个字符",
    "string_pattern_mismatch": "应符合格式 {pattern}",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_parsing_size": "整数过大",
    "int_from_float": "应为整数，不能带小数",
    "float_type": "应为数字",
    "float_parsing": "应为数字",
    "finite_number": "应为有限的数字",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "literal_error": "应为 {expected}",
    "enum": "应为 {expected}",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "less_than": "应小于 {lt}",
    "less_than_equal": "应不大于 {le}",
    "too_short": "至少需要 {min_length} 项",
    "too_long": "最多 {max_length} 项",
    "datetime_type": "应为日期时间，例如 2026-01-31T08:00:00Z",
    "datetime_parsing": "应为日期时间，例如 2026-01-31T08:00:00Z",
    "datetime_from_date_parsing": "应为日期时间，例如 2026-01-31T08:00:00Z",
    "not_a_file": "应为文件，而不是文本：curl -F file=@rows.json",
    "moment": "应为带时区的时间（例如 2026-01-31T08:00:00Z），或日期（例如 2026-01-31，即当日 UTC 零点）；网址中的 + 须写作 %2B",
    "year_range": "换算为 UTC 后，年份应在 1 到 9999 之间",
    "timezone_aware": "日期时间需要带时区，例如 2026-01-31T08:00:00Z",
    "count_share_or_auto": f"应为 1 到 {MOST_ROWS} 的行数、0 到 1 之间的比例，或 'auto'",
    "count_or_share": f"应为 0 到 {MOST_STEPS} 的步数，或小于 1 的比例",
    "target_modules": "应为 'all-linear' 或模块名列表，例如 ['q_proj', 'v_proj']",
    "on_off_auto": "应为 true、false 或 'auto'",
    "count_or_auto": f"应为 16 到 {MOST_TOKENS} 的 token 数，或 'auto'",
    "model_name": "应为模型目录名或 hub 上的模型名，例如 'Qwen/Qwen2-0.5B-Instruct'",
    "dataset_id": "应为 POST /v1/datasets 返回的 'ds_…'，或 {{\"hub\": …}}",
}
