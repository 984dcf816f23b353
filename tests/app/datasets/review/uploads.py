"""Uploads of small datasets for the tests of reviews."""

import json
from typing import Any

from tests.app.player import Player

TOKEN_ROW = {"instruction": "q", "output": "a <|im_end|>"}


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def alpaca(*numbers: int) -> str:
    return jsonl(*[{"instruction": f"question {n}", "output": f"answer {n}"} for n in numbers])


def upload(player: Player, content: str, query: str = "", language: str = "en") -> Any:
    response = player.client.post(
        f"/v1/datasets?{query}",
        files={"file": ("rows.jsonl", content)},
        headers={"Accept-Language": language},
    )
    assert response.status_code in {200, 201}, response.text
    return response.json()
