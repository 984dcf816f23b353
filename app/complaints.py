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


OF_UNIONS = ("(", "function-", "constrained-", "literal[")
"""How the parts of a location begin that name no field but a member of a union."""


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
    parts = [str(part) for part in location[1:] if not str(part).startswith(OF_UNIONS)]
    return ".".join(parts) or None


def _complaint(error: Mapping[str, Any], language: Language) -> str:
    kind, said = error["type"], str(error["msg"]).removeprefix("Value error, ")
    if language == "en":
        if kind in COMPLAINTS_EN:
            return COMPLAINTS_EN[kind]
        return said[:1].lower() + said[1:] if said.startswith("Input") else said
    template = COMPLAINTS_ZH.get(kind)
    return template.format_map(_Figures(error.get("ctx") or {})) if template else said


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


COMPLAINTS_EN = {
    "extra_forbidden": "there is no such field; check its spelling and the part it stands in",
    "missing": "this field is required",
}
"""Where pydantic's own sentence does not say what to do."""
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
    "timezone_aware": "日期时间需要带时区，例如 2026-01-31T08:00:00Z",
    "count_share_or_auto": f"应为 1 到 {MOST_ROWS} 的行数、0 到 1 之间的比例，或 'auto'",
    "count_or_share": f"应为 0 到 {MOST_STEPS} 的步数，或小于 1 的比例",
    "target_modules": "应为 'all-linear' 或模块名列表，例如 ['q_proj', 'v_proj']",
    "on_off_auto": "应为 true、false 或 'auto'",
    "count_or_auto": f"应为 16 到 {MOST_TOKENS} 的 token 数，或 'auto'",
    "model_name": "应为模型目录名或 hub 上的模型名，例如 'Qwen/Qwen2-0.5B-Instruct'",
    "dataset_id": "应为 POST /v1/datasets 返回的 'ds_…'，或 {{\"hub\": …}}",
}
