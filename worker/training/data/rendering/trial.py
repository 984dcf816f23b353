"""Determines what a chat template supports by rendering small conversations and searching the text for their words."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from contracts.dataset.conversation import ROLES, Role
from contracts.model_facts import TemplateFacts
from worker.training.data.rendering.answers import RenderingFailed

_WORD = "steplinetrial"
_OTHER_WORD = "earliercall"
_ARGUMENTS = {"city": _WORD}
_CALL_ID = "call00001"
"""Mistral's templates require nine characters."""
_ASK = {"role": "user", "content": "1"}
_SAY = {"role": "assistant", "content": "2"}
_FUNCTION = {"name": "lookup", "parameters": {"type": "object", "properties": {}}}
_TOOL = {"type": "function", "function": _FUNCTION | {"description": _WORD}}
_OTHER_TOOL = {"type": "function", "function": _FUNCTION | {"description": "1"}}
"""A tool without the word. Some models have another template for conversations that offer tools."""

Render = Callable[[list[dict[str, Any]], list[dict[str, Any]]], str]
"""Renders turns and tools. Raises RenderingFailed if the template cannot."""


def try_template(render: Render) -> TemplateFacts:
    """Return the facts about a template. A feature counts as unsupported if its trial fails."""
    as_text = takes_arguments_as_text(render)
    called = _calling(as_text=as_text)
    called_twice = _calling(as_text=as_text, before={"city": _OTHER_WORD})
    answered = {
        "role": "tool",
        "content": _WORD,
        "name": "lookup",
        "tool_call_id": _CALL_ID,
    }
    trials: dict[Role, list[dict[str, Any]]] = {
        "system": [{"role": "system", "content": _WORD}, _ASK, _SAY],
        "developer": [{"role": "developer", "content": _WORD}, _ASK, _SAY],
        "user": [_ASK | {"content": _WORD}, _SAY],
        "assistant": [_ASK, _SAY | {"content": _WORD}],
        "tool": [_ASK, called, answered, _SAY],
    }
    plain_call = [_ASK, _SAY, answered, _SAY]
    return TemplateFacts(
        roles=[
            role
            for role in ROLES
            if _writes(render, trials[role])
            or (role == "tool" and _writes(render, plain_call))
            or (role == "tool" and _writes(render, trials[role], [_OTHER_TOOL]))
            or (role == "developer" and _writes(render, trials["system"]))
        ],
        tools=_writes(render, [_ASK, _SAY], [_TOOL]),
        tool_calls=_writes(render, [_ASK, called])
        or _writes(render, [_ASK, called], [_OTHER_TOOL]),
        reasoning_content=_writes(render, [_ASK, _SAY | {"reasoning_content": _WORD}]),
        late_system=_writes(render, [_ASK, _SAY, trials["system"][0], _ASK, _SAY]),
        assistant_first=_writes(render, [_SAY | {"content": _WORD}, _ASK, _SAY]),
        repeated_user=_writes(render, [_ASK, _ASK | {"content": _WORD}, _SAY]),
        repeated_assistant=_writes(render, [_ASK, _SAY, _SAY | {"content": _WORD}]),
        parallel_calls=_writes(render, [_ASK, called_twice], words=(_OTHER_WORD, _WORD))
        or _writes(render, [_ASK, called_twice], [_OTHER_TOOL], words=(_OTHER_WORD, _WORD)),
    )


def renders_at_all(render: Render) -> bool:
    """Return whether the template renders a question and an answer."""
    try:
        render([_ASK, _SAY], [])
    except RenderingFailed:
        return False
    return True


def writes_calls_without_tools(render: Render) -> bool:
    """Return whether the template renders a tool call in a conversation that offers no tools."""
    return _writes(render, [_ASK, _calling(as_text=takes_arguments_as_text(render))])


def takes_arguments_as_text(render: Render) -> bool:
    """Return whether the template renders the arguments of a tool call as JSON only if they are passed as JSON text."""
    turns = [_ASK, _calling(as_text=False)]
    try:
        text = render(turns, [])
    except RenderingFailed:
        return _writes(render, [_ASK, _calling(as_text=True)])
    # Without a filter, jinja writes an object as Python does.
    return str(_ARGUMENTS) in text


def needs_short_call_ids(render: Render) -> bool:
    """Return whether the template accepts tool calls, but only with ids of nine characters."""
    as_text = takes_arguments_as_text(render)
    short, long = (_calling(as_text=as_text, call_id=each) for each in (_CALL_ID, "call_" * 4))
    return _writes(render, [_ASK, short]) and not _writes(render, [_ASK, long])


def _calling(
    *, as_text: bool, call_id: str = _CALL_ID, before: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return a turn that calls a tool with the word, after a call with the arguments `before` if they are given."""
    calls = []
    for number, values in enumerate([_ARGUMENTS] if before is None else [before, _ARGUMENTS]):
        arguments = json.dumps(values) if as_text else values
        function = {"name": "lookup", "arguments": arguments}
        # The ids of a turn differ, and have the same length.
        calls.append(
            {
                "id": call_id if before is None else f"{call_id[:-1]}{number}",
                "type": "function",
                "function": function,
            }
        )
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _writes(
    render: Render,
    turns: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None = None,
    *,
    words: Sequence[str] = (_WORD,),
) -> bool:
    try:
        text = render(turns, tools or [])
        return all(word in text for word in words)
    except RenderingFailed:
        return False
