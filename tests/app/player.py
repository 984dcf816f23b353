"""A player that makes the HTTP calls of users and workers, so that tests show only what they check."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from httpx2 import Client, Response

from contracts.attempt import (
    Claim,
    EarlierRecords,
    FinishRequest,
    Outcome,
    SyncReply,
    SyncRequest,
    WorkerInfo,
)
from contracts.base import utc_now
from contracts.checkpoint import CheckpointFile, CheckpointOffer, Origin
from contracts.failure import Failure, FailureReason
from contracts.model_facts import ModelFacts, ModelReport
from contracts.protocol.error_codes import CODES_HEADER, CODES_VERSION
from contracts.protocol.wire import (
    ADAPTER_ARTIFACT,
    BLOB_PATH,
    CHECKPOINT_PATH,
    CLAIM_PATH,
    EARLIER_PATH,
    FINISH_PATH,
    HELLO_PATH,
    MODELS_PATH,
    SHA256_HEADER,
    SYNC_PATH,
    UPLOAD_PATH,
)
from contracts.record import CheckpointRecord, EvalRecord, Record
from contracts.summary import Summary
from tests.factories import make_summary
from tests.programs.server_process import TOKEN

BASE_URL = "http://127.0.0.1"
"""Base URL of a client in the same process. Its host is one that the server allows."""
WORKER = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Player:
    """Makes users' and workers' HTTP calls. Some methods return the response; the others check it and return its content."""

    def __init__(self, client: Client) -> None:
        self.client = client

    # As a user

    def upload(self, rows: int = 20, mark: str = "") -> str:
        """Upload rows in the Alpaca format and return the dataset's id."""
        lines = [json.dumps({"instruction": f"{mark}{n}", "output": f"a{n}"}) for n in range(rows)]
        response = self.client.post(
            "/v1/datasets", files={"file": ("rows.jsonl", "\n".join(lines))}
        )
        assert response.status_code in {200, 201}, response.text
        return str(response.json()["id"])

    def post_job(self, headers: Mapping[str, str] | None = None, **changes: Any) -> Response:
        """POST a job that uses an uploaded dataset."""
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
        """GET a resource that must exist."""
        response = self.client.get(path, params=query)
        assert response.status_code == 200, response.text
        return response.json()

    def job(self, job_id: str) -> Any:
        """Return a job."""
        return self.get(f"/v1/jobs/{job_id}")

    # As a worker

    def hello(self, **info: Any) -> None:
        """Announce a worker."""
        worker = WorkerInfo.model_validate({"worker_id": "worker-1"} | info)
        response = self.client.post(HELLO_PATH, content=worker.model_dump_json(), headers=WORKER)
        assert response.status_code == 204, response.text

    def post_models(self, worker_id: str, *models: ModelFacts) -> Response:
        """POST the models in a worker's models root."""
        report = ModelReport(worker_id=worker_id, models=list(models))
        return self.client.post(MODELS_PATH, content=report.model_dump_json(), headers=WORKER)

    def report_models(self, worker_id: str, *models: ModelFacts) -> None:
        """Report the models of a worker that has sent a hello."""
        response = self.post_models(worker_id, *models)
        assert response.status_code == 204, response.text

    def post_claim(
        self,
        claim_id: str | None = None,
        free_cards: int | None = None,
        cards_held: Sequence[str] = (),
        **info: Any,
    ) -> Response:
        """POST a claim; without `free_cards`, as a worker of an earlier version does."""
        body: dict[str, Any] = {
            "worker": {"worker_id": "worker-1"} | info,
            "claim_id": claim_id,
        }
        if free_cards is not None:
            body["free_cards"] = free_cards
        if cards_held:
            body["cards_held"] = list(cards_held)
        return self.client.post(CLAIM_PATH, json=body, headers=WORKER)

    def claim(self, **info: Any) -> Claim:
        """Claim a job; one must be queued."""
        response = self.post_claim(**info)
        assert response.status_code == 200, response.text
        return Claim.model_validate_json(response.content)

    def send_sync(self, claim: Claim, records: Sequence[Record] = (), **other: Any) -> Response:
        """Send a sync with records and other fields."""
        request = SyncRequest.model_validate({"records": list(records), **other})
        return self.client.post(
            SYNC_PATH.format(attempt_id=claim.attempt_id),
            content=request.model_dump_json(),
            headers=_attempt(claim),
        )

    def sync(self, claim: Claim, *records: Record, **other: Any) -> SyncReply:
        """Send a sync, which the server must accept."""
        response = self.send_sync(claim, records, **other)
        assert response.status_code == 200, response.text
        return SyncReply.model_validate_json(response.content)

    def print(self, claim: Claim, offset: int, text: str) -> SyncReply:
        """Send a sync with a chunk of output."""
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

    def offer(
        self, claim: Claim, step: int, codes_version: str | None = CODES_VERSION, **files: bytes
    ) -> Response:
        """Offer a checkpoint whose files are given as name=content."""
        codes = {} if codes_version is None else {CODES_HEADER: codes_version}
        offer = CheckpointOffer(
            step=step,
            name=f"step-{step:08d}",
            files=[
                CheckpointFile(name=name, sha256=_sha256(content), bytes=len(content))
                for name, content in files.items()
            ],
            origin=Origin(train_revision="r1"),
        )
        return self.client.post(
            CHECKPOINT_PATH.format(attempt_id=claim.attempt_id),
            content=offer.model_dump_json(),
            headers=_attempt(claim) | codes,
        )

    def put_file(self, claim: Claim, content: bytes, sha256: str | None = None) -> Response:
        """Upload a file of a checkpoint."""
        return self.client.put(
            BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256 or _sha256(content)),
            content=content,
            headers=_attempt(claim),
        )

    def get_file(self, claim: Claim, sha256: str) -> Response:
        """Download a file of a checkpoint."""
        return self.client.get(
            BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256), headers=_attempt(claim)
        )

    def checkpoint(self, claim: Claim, seq: int, step: int, loss: float | None = None) -> int:
        """Record and store a checkpoint, preceded by an evaluation if `loss` is given; return the last seq used."""
        records: list[Record] = []
        if loss is not None:
            records.append(EvalRecord(seq=seq, at=utc_now(), step=step, loss=loss, tokens=1))
        name = f"step-{step:08d}"
        last = seq + len(records)
        records.append(CheckpointRecord(seq=last, at=utc_now(), step=step, name=name, bytes=9))
        self.sync(claim, *records)
        content = f"{claim.attempt_id} {step}".encode()
        assert self.offer(claim, step, tensors=content).json()["stored"] is False
        assert self.put_file(claim, content).status_code == 201
        assert self.offer(claim, step, tensors=content).json() == {"missing": [], "stored": True}
        return last

    def post_earlier(self, claim: Claim, number: int, *records: Record) -> Response:
        """Upload records of an earlier attempt."""
        return self.client.post(
            EARLIER_PATH.format(attempt_id=claim.attempt_id, number=number),
            content=EarlierRecords(records=list(records)).model_dump_json(),
            headers=_attempt(claim),
        )

    def finish(
        self,
        claim: Claim,
        status: str,
        last_seq: int = 0,
        *,
        summary: Summary | Mapping[str, Any] | None = None,
        **outcome: Any,
    ) -> Response:
        """Finish an attempt. If it succeeded, send a summary, by default that of a small run with these values."""
        if not isinstance(summary, Summary):
            summary = make_summary(**summary or {})
        request = FinishRequest(
            outcome=Outcome.model_validate({"status": status, **outcome}),
            summary=summary if status == "succeeded" else None,
            last_seq=last_seq,
        )
        return self.client.post(
            FINISH_PATH.format(attempt_id=claim.attempt_id),
            content=request.model_dump_json(),
            headers=_attempt(claim),
        )

    def succeed(self, claim: Claim, last_seq: int = 0, **summary: Any) -> None:
        """Upload an adapter and finish the attempt as succeeded; `summary` overrides values of the report."""
        assert self.put_artifact(claim).status_code == 201
        assert self.finish(claim, "succeeded", last_seq, summary=summary).json() == {
            "job_status": "succeeded"
        }

    def fail(self, claim: Claim, reason: FailureReason, **failure: Any) -> str:
        """Finish the attempt with a failure and return the job's status."""
        failure = {"reason": reason, **failure}
        response = self.finish(claim, "failed", failure=Failure.model_validate(failure))
        assert response.status_code == 200, response.text
        return str(response.json()["job_status"])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _attempt(claim: Claim) -> dict[str, str]:
    return {"Authorization": f"Bearer {claim.token}", "Content-Type": "application/json"}
