"""Player: a user and a worker as short calls over HTTP, so that a test shows only what matters to it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

from contracts.attempt import Claim, FinishRequest, Outcome, SyncReply, SyncRequest, WorkerInfo
from contracts.base import utc_now
from contracts.failure import Failure, FailureReason
from contracts.record import Record
from contracts.wire import (
    ADAPTER_ARTIFACT,
    CLAIM_PATH,
    FINISH_PATH,
    HELLO_PATH,
    SHA256_HEADER,
    SYNC_PATH,
    UPLOAD_PATH,
)
from tests.factories import make_summary

TOKEN = "worker-token-of-a-test"
WORKER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Player:
    """Each call answers what the server said; those with a promise in their name check it."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    # A user

    def upload(self, rows: int = 20, mark: str = "") -> str:
        """Upload rows of the Alpaca form and return the dataset's id."""
        lines = [json.dumps({"instruction": f"{mark}{n}", "output": f"a{n}"}) for n in range(rows)]
        response = self.client.post(
            "/v1/datasets", files={"file": ("rows.jsonl", "\n".join(lines))}
        )
        assert response.status_code in {200, 201}, response.text
        return str(response.json()["id"])

    def post_job(self, headers: Mapping[str, str] | None = None, **changes: Any) -> Response:
        """POST a job over an uploaded dataset."""
        if "dataset" not in changes:
            changes["dataset"] = {"train": self.upload()}
        body = {"model": "tiny-qwen2"} | changes
        return self.client.post("/v1/jobs", json=body, headers=dict(headers or {}))

    def submit(self, **changes: Any) -> str:
        """Submit a job and return its id."""
        response = self.post_job(**changes)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def get(self, path: str, **query: Any) -> Any:
        """GET what must be there."""
        response = self.client.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def job(self, job_id: str) -> Any:
        """Return a job."""
        return self.get(f"/v1/jobs/{job_id}")

    # A worker

    def hello(self, **info: Any) -> None:
        """Say hello."""
        worker = WorkerInfo.model_validate({"worker_id": "worker-1"} | info)
        response = self.client.post(HELLO_PATH, content=worker.model_dump_json(), headers=WORKER)
        assert response.status_code == 204, response.text

    def ask(self, **info: Any) -> Response:
        """Ask for a job."""
        body = {"worker": {"worker_id": "worker-1"} | info}
        return self.client.post(CLAIM_PATH, json=body, headers=WORKER)

    def claim(self, **info: Any) -> Claim:
        """Get a job."""
        response = self.ask(**info)
        assert response.status_code == 200, response.text
        return Claim.model_validate_json(response.content)

    def send_sync(self, claim: Claim, records: Sequence[Record] = (), **other: Any) -> Response:
        """Send records and whatever else a sync carries."""
        request = SyncRequest.model_validate({"records": list(records), **other})
        return self.client.post(
            SYNC_PATH.format(attempt_id=claim.attempt_id),
            content=request.model_dump_json(),
            headers=_attempt(claim),
        )

    def sync(self, claim: Claim, *records: Record, **other: Any) -> SyncReply:
        """Sync with success."""
        response = self.send_sync(claim, records, **other)
        assert response.status_code == 200, response.text
        return SyncReply.model_validate_json(response.content)

    def print(self, claim: Claim, offset: int, text: str) -> SyncReply:
        """Sync a piece of output."""
        size = len(text.encode())
        chunk = {"offset": offset, "text": text, "bytes": size, "at": utc_now()}
        return self.sync(claim, output=chunk)

    def put_artifact(
        self, claim: Claim, name: str = ADAPTER_ARTIFACT, content: bytes = b"adapter", **other: str
    ) -> Response:
        """Upload an artifact."""
        sha256 = other.get("sha256", hashlib.sha256(content).hexdigest())
        return self.client.put(
            UPLOAD_PATH.format(attempt_id=claim.attempt_id, name=name),
            content=content,
            headers=_attempt(claim) | {SHA256_HEADER: sha256},
        )

    def finish(self, claim: Claim, status: str, last_seq: int = 0, **outcome: Any) -> Response:
        """End an attempt; a success brings its summary along."""
        summary = make_summary() if status == "succeeded" else None
        request = FinishRequest(
            outcome=Outcome.model_validate({"status": status, **outcome}),
            summary=summary,
            last_seq=last_seq,
        )
        return self.client.post(
            FINISH_PATH.format(attempt_id=claim.attempt_id),
            content=request.model_dump_json(),
            headers=_attempt(claim),
        )

    def succeed(self, claim: Claim, last_seq: int = 0) -> None:
        """Upload an adapter and end well."""
        assert self.put_artifact(claim).status_code == 201
        assert self.finish(claim, "succeeded", last_seq).json() == {"job_status": "succeeded"}

    def fail(self, claim: Claim, reason: FailureReason, **failure: Any) -> str:
        """End with a failure and return the job's status."""
        failure = {"reason": reason, **failure}
        response = self.finish(claim, "failed", failure=Failure.model_validate(failure))
        assert response.status_code == 200, response.text
        return str(response.json()["job_status"])


def _attempt(claim: Claim) -> dict[str, str]:
    return {"Authorization": f"Bearer {claim.token}", "Content-Type": "application/json"}
