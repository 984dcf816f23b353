"""The order of the turns of a dataset's rows, compared with what a model's chat template renders."""

import json
from typing import Any

import pytest

from contracts.model_facts import ModelFacts, TemplateFacts
from tests.app.player import Player

ASK, SAY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "s"}
ANY: dict[str, Any] = {
    "roles": ["system", "user", "assistant"],
    "tools": False,
    "tool_calls": False,
    "reasoning_content": False,
}
STRICT = {"assistant_first": False, "repeated_user": False, "repeated_assistant": False}


def plan(
    player: Player, template: dict[str, Any], *rows: list[dict[str, Any]], language: str = "en"
) -> Any:
    facts = ModelFacts(name="m", template=TemplateFacts(**ANY | template))
    player.hello(worker_id="w", models=["m"])
    player.report_models("w", facts)
    lines = "".join(json.dumps({"messages": turns}) + "\n" for turns in rows)
    uploaded = player.client.post("/v1/datasets", files={"file": ("rows.jsonl", lines)}).json()
    body = {"model": "m", "dataset": {"train": uploaded["id"]}}
    return player.client.post(
        "/v1/jobs?dry_run=true", json=body, headers={"Accept-Language": language}
    ).json()


@pytest.mark.parametrize(
    ("turns", "order", "words"),
    [
        ([SAY, ASK, SAY], "assistant_first", "an assistant turn first"),
        ([SYSTEM, SAY, ASK, SAY], "assistant_first", "an assistant turn first"),
        ([ASK, ASK, SAY], "repeated_user", "consecutive user turns"),
        ([SYSTEM, ASK, SAY, SAY], "repeated_assistant", "consecutive assistant turns"),
    ],
)
def test_an_order_of_turns_that_the_template_rejects_is_reported_at_submission(
    player: Player, turns: list[dict[str, str]], order: str, words: str
) -> None:
    fine = [ASK, SAY]

    refused = plan(player, STRICT, fine, turns, turns)["error"]

    (problem,) = refused["errors"]
    assert (problem["param"], problem["code"]) == ("dataset.train", "template_lacks")
    assert (
        f"contains {words}, which the chat template of m does not render (rows affected: 2)"
        in refused["message"]
    )
    assert "order of turns" in refused["hint"]
    chinese = plan(player, STRICT, fine, turns, turns, language="zh")["error"]
    assert "顺序" in chinese["hint"]
    assert plan(player, STRICT | {order: True}, fine, turns)["valid"]
    assert plan(player, {}, fine, turns)["valid"], (
        "a worker of an earlier version does not report it"
    )


def test_several_calls_in_one_turn_are_reported_at_submission_if_the_template_rejects_them(
    player: Player,
) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    calling = {"role": "assistant", "tool_calls": [call | {"id": "1"}, call | {"id": "2"}]}
    tools = {"roles": ["user", "assistant"], "tool_calls": True}
    single = tools | {"parallel_calls": False}

    refused = plan(player, single, [ASK, SAY], [ASK, calling])["error"]

    (problem,) = refused["errors"]
    assert (problem["param"], problem["code"]) == ("dataset.train", "template_lacks")
    assert "contains several tool calls in one turn, which" in refused["message"]
    assert "remove them from the rows" in refused["hint"]
    one = calling | {"tool_calls": [call | {"id": "1"}]}
    assert plan(player, single, [ASK, SAY], [ASK, one])["valid"]
    assert plan(player, tools | {"parallel_calls": True}, [ASK, SAY], [ASK, calling])["valid"]
    assert plan(player, tools, [ASK, SAY], [ASK, calling])["valid"], (
        "an earlier worker does not report it"
    )


def test_common_orders_of_turns_need_nothing_of_a_template(player: Player) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calling = {"role": "assistant", "content": None, "tool_calls": [call]}
    answered = {"role": "tool", "content": "1", "tool_call_id": "1"}
    rows: list[list[dict[str, Any]]] = [
        [ASK, SAY],
        [SYSTEM, ASK, SAY, ASK, SAY],
        [ASK, calling, SAY],
        [ASK, calling, calling, answered, answered, SAY],
    ]
    tools = {"roles": ["system", "user", "assistant", "tool"], "tool_calls": True}

    assert plan(player, STRICT | tools, *rows)["valid"]
