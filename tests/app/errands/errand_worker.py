"""Simulates a worker that runs errands. It makes only the worker's HTTP calls."""

import hashlib
from typing import Any

from httpx2 import Client, Response

from contracts.errands.errand import ErrandClaim
from contracts.protocol.wire import (
    COMMIT_HEADER,
    ERRAND_BEAT_PATH,
    ERRAND_CLAIM_PATH,
    ERRAND_DATASET_PATH,
    ERRAND_FINISH_PATH,
    ERRAND_ROWS_PATH,
    ERRAND_TOKEN_HEADER,
    SHA256_HEADER,
)
from tests.app.player import WORKER, Player

MODEL = "tiny-qwen2"


class ErrandWorker:
    """A simulated worker that announces itself and claims errands."""

    def __init__(
        self,
        player: Player,
        name: str = "w1",
        models: tuple[str, ...] | None = (MODEL,),
        kinds: tuple[str, ...] = ("preview",),
    ) -> None:
        self.client: Client = player.client
        self.name, self.models, self.kinds = name, models, kinds
        player.hello(worker_id=name, models=models, errands=list(kinds))

    def post_claim(self, wait_seconds: float = 0) -> Response:
        body = {
            "worker_id": self.name,
            "kinds": list(self.kinds),
            "models": list(self.models or ()),
            "wait_seconds": wait_seconds,
        }
        return self.client.post(ERRAND_CLAIM_PATH, json=body, headers=WORKER)

    def claim(self, wait_seconds: float = 0) -> ErrandClaim:
        response = self.post_claim(wait_seconds)
        assert response.status_code == 200, response.text
        return ErrandClaim.model_validate_json(response.content)

    def rows(self, claim: ErrandClaim) -> Response:
        return self.client.get(
            ERRAND_ROWS_PATH.format(errand_id=claim.errand_id), headers=_headers(claim)
        )

    def beat(self, claim: ErrandClaim, **progress: int) -> Response:
        url = ERRAND_BEAT_PATH.format(errand_id=claim.errand_id)
        body = {"progress": progress or None}
        return self.client.post(url, json=body, headers=_headers(claim))

    def send_rows(self, claim: ErrandClaim, rows: bytes, **headers: str) -> Response:
        url = ERRAND_DATASET_PATH.format(errand_id=claim.errand_id)
        described = {SHA256_HEADER: hashlib.sha256(rows).hexdigest(), COMMIT_HEADER: "abc"}
        return self.client.put(url, content=rows, headers=_headers(claim) | described | headers)

    def finish(self, claim: ErrandClaim, **outcome: Any) -> Response:
        url = ERRAND_FINISH_PATH.format(errand_id=claim.errand_id)
        return self.client.post(url, json=outcome, headers=_headers(claim))


def _headers(claim: ErrandClaim) -> dict[str, str]:
    return WORKER | {ERRAND_TOKEN_HEADER: claim.token}


def result_of(*rows: int, text: str = "二🙂") -> dict[str, Any]:
    """Return a preview in which the last token of each row is supervised."""
    tokens = [
        {"id": 1, "text": "<b>\x1b[2J\n", "trained": False},
        {"id": 2, "text": text, "trained": True},
        {"id": 3, "text": "", "trained": True, "joined": True},
    ]
    return {
        "kind": "preview",
        "chat_template": "qwen2",
        "rows": [
            {
                "row": row,
                "form": "alpaca",
                "truncated": True,
                "dropped": False,
                "total_tokens": 7,
                "trained_tokens": 2,
                "tokens": tokens,
                "error": None,
            }
            for row in rows
        ],
    }
