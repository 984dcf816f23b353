"""RowError: the problem with a dataset row, as a code and values, with its message in English and Chinese."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from contracts.failure import Language


class RowProblem(StrEnum):
    """Reasons for rejecting a row or the file that contains it."""

    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_FORM = "unknown_form"
    OTHER_FORM = "other_form"
    MISSING = "missing"
    EMPTY = "empty"
    EMPTY_ANSWER = "empty_answer"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    UNKNOWN_ROLE = "unknown_role"
    NO_PAIR = "no_pair"
    NOT_UNICODE = "not_unicode"
    NO_ANSWER = "no_answer"
    LATE_SYSTEM = "late_system"
    """No longer raised; in stored refusals."""
    TURN_WEIGHT = "turn_weight"
    NOT_TEXT = "not_text"
    LABEL = "label"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    LONG_NUMBER = "long_number"
    AFTER_ARRAY = "after_array"
    NO_COMMA = "no_comma"
    UNENDED_ARRAY = "unended_array"
    OTHER = "other"
    """A code of another version of the server, in stored refusals."""


class RowError(ValueError):
    """A row that cannot be used for training. `line` counts from 1; `figures` are inserted into the message.

    If the figure `found` or `expected` is a key of `_KINDS_EN` and `_KINDS_ZH`, the message describes that kind of
    value.
    """

    def __init__(self, line: int, problem: RowProblem, **figures: str | int) -> None:
        self.line = line
        self.problem = problem
        self.figures = figures
        super().__init__(f"line {line}: {self.sentence()}")

    def sentence(self, language: Language = "en") -> str:
        """Return a sentence that describes the problem and, where useful, the fix."""
        words = _WORDS[self.problem]
        kinds = _KINDS_ZH if language == "zh" else _KINDS_EN
        figures = {
            name: kinds.get(str(value), value) if name in ("found", "expected") else value
            for name, value in self.figures.items()
        }
        return (words.zh if language == "zh" else words.en).format(**figures)


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value: a key of `_KINDS_EN` and `_KINDS_ZH`."""
    if value is None:
        return "null"
    kinds: dict[type, str] = {
        bool: "boolean",
        int: "number",
        float: "number",
        str: "string",
        list: "list",
        dict: "object",
    }
    return kinds.get(type(value), "value")


FORMS: dict[Language, str] = {
    "en": "one of {instruction, output}, {prompt, completion}, {messages: [{role, content}]}, "
    "{conversations: [{from, value}]}, {text} or {prompt, chosen, rejected}. If the columns have other names, map them, "
    "for example with ?columns[prompt]=question&columns[completion]=answer",
    "zh": "每行应为 {instruction, output}、{prompt, completion}、{messages: [{role, content}]}、"
    "{conversations: [{from, value}]}、{text} 或 {prompt, chosen, rejected} 之一。列名不同时可以映射，"
    "例如 ?columns[prompt]=question&columns[completion]=answer",
}
"""Descriptions of the accepted row formats, by language."""


@dataclass(frozen=True)
class _Words:
    en: str
    zh: str


_KINDS_EN = {
    "null": "null",
    "boolean": "a boolean",
    "number": "a number",
    "string": "a string",
    "list": "a list",
    "object": "an object",
    "value": "a value of a different type",
    "string_or_null": "a string or null",
    "string_or_messages": "a string or a list of messages",
    "text_not_json": "text that is not JSON",
    "tools": "a list of tools {type, function: {name, description, parameters}}",
    "tool": "an object {type, function: {name, description, parameters}}",
    "tool_calls": "a list of tool calls {function: {name, arguments}}",
    "tool_call": "a tool call {name, arguments}",
    "arguments": "an object that contains the arguments",
    "part": "a string or an object {type: text, text}",
    "openai_input": "an object {messages}",
    "message": "an object {role, content}",
    "messages": "a list of messages {role, content}",
    "pairs": "a list of pairs [user, assistant]",
}
_KINDS_ZH = {
    "null": "null",
    "boolean": "布尔值",
    "number": "数字",
    "string": "字符串",
    "list": "数组",
    "object": "对象",
    "value": "其他类型的值",
    "string_or_null": "字符串或 null",
    "string_or_messages": "字符串或消息数组",
    "text_not_json": "非 JSON 文本",
    "tools": "工具 {type, function: {name, description, parameters}} 的数组",
    "tool": "对象 {type, function: {name, description, parameters}}",
    "tool_calls": "工具调用 {function: {name, arguments}} 的数组",
    "tool_call": "工具调用 {name, arguments}",
    "arguments": "参数对象",
    "part": "字符串或对象 {type: text, text}",
    "openai_input": "对象 {messages}",
    "message": "对象 {role, content}",
    "messages": "消息 {role, content} 的数组",
    "pairs": "[用户, 助手] 二元组的数组",
}

_WORDS: dict[RowProblem, _Words] = {
    RowProblem.NOT_AN_OBJECT: _Words(
        "the row is {found}; it must be an object", "该行是{found}，应为对象"
    ),
    RowProblem.UNKNOWN_FORM: _Words(
        "its keys ({keys}) match no known format", "键（{keys}）不符合任何已知格式"
    ),
    RowProblem.OTHER_FORM: _Words(
        "its columns ({keys}) do not form a row of the chosen format {form}",
        "列（{keys}）与所选格式 {form} 不符",
    ),
    RowProblem.MISSING: _Words("{place} is missing", "缺少 {place}"),
    RowProblem.EMPTY: _Words("{place} is empty", "{place} 为空"),
    RowProblem.EMPTY_ANSWER: _Words(
        "its answer is empty, as in every row of the file. Fill in the answers, or map the column that contains them, for example "
        "with ?columns[completion]=answer",
        "回答为空，且文件中每条数据的回答都为空。请补全回答，或映射含有回答的列，例如 ?columns[completion]=answer",
    ),
    RowProblem.WRONG_TYPE: _Words(
        "{place} is {found}; it must be {expected}", "{place} 是{found}，应为{expected}"
    ),
    RowProblem.TOO_LONG: _Words(
        "{place} has more than {limit} characters", "{place} 超过 {limit} 个字符"
    ),
    RowProblem.UNKNOWN_ROLE: _Words(
        "{place} is {found}; it must be 'system', 'developer', 'user', 'assistant', 'tool' or a ShareGPT name of one of these",
        "{place} 是{found}，应为 'system'、'developer'、'user'、'assistant'、'tool' 或 ShareGPT 中的对应名称",
    ),
    RowProblem.NO_PAIR: _Words(
        "{place} must be a pair [user, assistant]", "{place} 应为 [用户, 助手] 二元组"
    ),
    RowProblem.NOT_UNICODE: _Words(
        "{place} contains an unpaired surrogate, which is not a character; remove it",
        "{place} 含有不成对的代理字符（surrogate），请删除",
    ),
    RowProblem.NO_ANSWER: _Words("it has no assistant answer", "没有助手的回答"),
    RowProblem.LATE_SYSTEM: _Words(
        "it has a system turn after another turn, which an earlier version did not accept; upload the file again",
        "system 消息不是第一条，旧版本不接受；请重新上传",
    ),
    RowProblem.TURN_WEIGHT: _Words(
        "{place} is {found}; it must be 0 (do not train on this turn) or 1",
        "{place} 是{found}，应为 0（该轮不参与训练）或 1",
    ),
    RowProblem.NOT_TEXT: _Words(
        "{place} is a part of type {kind}, but only text parts are supported. Remove the part or the row",
        "{place} 的类型是 {kind}，只支持文本（text）类型：请删除这一部分或整行",
    ),
    RowProblem.LABEL: _Words(
        "{place} must be true (the answer is good) or false", "{place} 应为 true（回答好）或 false"
    ),
    RowProblem.TOO_MANY_BYTES: _Words("it has more than {limit} bytes", "超过 {limit} 字节"),
    RowProblem.TOO_DEEP: _Words("it is nested deeper than {limit} levels", "嵌套超过 {limit} 层"),
    RowProblem.NOT_JSON: _Words("it is not valid JSON ({said})", "不是合法的 JSON（{said}）"),
    RowProblem.LONG_NUMBER: _Words(
        "it contains an integer of more than {limit} digits; write it as a string",
        "含有超过 {limit} 位的整数，请写成字符串",
    ),
    RowProblem.AFTER_ARRAY: _Words(
        "there is content after the array; remove it", "数组之后还有内容，请删除"
    ),
    RowProblem.NO_COMMA: _Words("a comma or ] is missing", "缺少逗号或 ]"),
    RowProblem.UNENDED_ARRAY: _Words(
        "the file ends before the end of the array", "数组未闭合，文件已结束"
    ),
    RowProblem.OTHER: _Words(
        "another version of the server rejected it; upload the file again",
        "被其他版本的服务器拒绝；请重新上传",
    ),
}
