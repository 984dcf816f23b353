"""Server: the worker's HTTP client, and the supervisor's only network code apart from hub downloads.

This module decides which calls are retried and for how long; retry.py does the retrying.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx2
from pydantic import BaseModel

from contracts.attempt import (
    Claim,
    ClaimRequest,
    EarlierRecords,
    EarlierReply,
    FinishReply,
    FinishRequest,
    SyncReply,
    SyncRequest,
    WorkerInfo,
)
from contracts.checkpoint import CheckpointOffer, CheckpointReply
from contracts.model_facts import ModelReport
from contracts.protocol.error_codes import CODES_HEADER, CODES_VERSION
from contracts.protocol.wire import (
    BLOB_PATH,
    CHECKPOINT_PATH,
    CLAIM_PATH,
    DATASET_PATH,
    EARLIER_PATH,
    FINISH_PATH,
    HELLO_PATH,
    MODELS_PATH,
    SHA256_HEADER,
    SYNC_PATH,
    UPLOAD_PATH,
)
from contracts.record import Record
from worker.supervisor.server.answers import (
    Refused,
    check_success,
    reaching_server,
    read,
    read_nothing,
)
from worker.supervisor.server.retry import LONGEST_PAUSE_SECONDS, Policy, retry
from worker.supervisor.server.transfer import (
    DamagedDownload,
    read_chunks,
    receive_file,
    send_file,
)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

TIMEOUT = httpx2.Timeout(15, connect=5)
"""Timeout in seconds for connecting and for each read or write."""
FINISH_TIMEOUT = httpx2.Timeout(120, connect=5)
"""Timeout for finish, which takes longer because the server updates the job."""
DAMAGED_TRIES = 3
"""After this many damaged downloads, the server's own copy is considered damaged."""


class Server:
    """A worker process's client for the server. Do not share it between threads."""

    def __init__(
        self,
        url: str,
        worker_token: str,
        claim_patience_seconds: float,
        patience_seconds: float,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = httpx2.Client(
            base_url=url, timeout=TIMEOUT, trust_env=not is_loopback(httpx2.URL(url).host)
        )
        self._worker_headers = {"Authorization": f"Bearer {worker_token}"}
        self._claim_patience_seconds = claim_patience_seconds
        self._patience_seconds = patience_seconds
        self._wait = wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def hello(self, worker: WorkerInfo) -> None:
        """Report that this worker is online. One try; raises ServerUnavailable or Refused."""
        read_nothing(self._post(HELLO_PATH, self._worker_headers, worker))

    def report_models(self, report: ModelReport) -> None:
        """Report the models in this worker's models root. One try; raises ServerUnavailable or Refused."""
        read_nothing(self._post(MODELS_PATH, self._worker_headers, report))

    def claim(
        self, worker: WorkerInfo, free_cards: int = 1, cards_held: Sequence[str] = ()
    ) -> Claim | None:
        """Claim the best job that this worker can run on its cards; return None if there is none."""
        # All tries send the same claim_id, so that a lost response does not create a second attempt.
        request = ClaimRequest(
            worker=worker,
            claim_id=secrets.token_hex(16),
            free_cards=free_cards,
            cards_held=list(cards_held),
        )

        def claim_once() -> Claim | None:
            response = self._post(CLAIM_PATH, self._worker_headers, request)
            return None if response.status_code == 204 else read(response, Claim)

        return retry(
            claim_once, Policy(self._claim_patience_seconds, LONGEST_PAUSE_SECONDS, self._wait)
        )

    def sync(self, claim: Claim, request: SyncRequest) -> SyncReply:
        """Send new data and return the server's reply. One try: the caller syncs again later."""
        return self._call(claim, SYNC_PATH.format(attempt_id=claim.attempt_id), request, SyncReply)

    def download(
        self, claim: Claim, dataset_id: str, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Write a dataset of the claim to path and check its SHA-256. Calls pulse after each chunk."""
        url = DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset_id)
        self._download(claim, url, sha256, path, pulse)

    def fetch_checkpoint_file(
        self, claim: Claim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Write a checkpoint file of the claim's job to path and check its SHA-256."""
        url = BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256)
        self._download(claim, url, sha256, path, pulse)

    def offer_checkpoint(self, claim: Claim, offer: CheckpointOffer) -> CheckpointReply:
        """Offer a checkpoint; the reply lists missing files.

        One try; raises RecordsMissing if its record is missing.
        """
        url = CHECKPOINT_PATH.format(attempt_id=claim.attempt_id)
        return self._call(claim, url, offer, CheckpointReply)

    def send_checkpoint_file(
        self, claim: Claim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Upload a file of an offered checkpoint. One try; raises FileNotOffered if the server no longer has the offer."""
        url = BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256)
        read_nothing(send_file(self._client, url, _attempt_headers(claim), path, pulse=pulse))

    def hand_in_earlier(self, claim: Claim, number: int, records: list[Record]) -> int:
        """Upload records of an earlier attempt of the job; return the last record number that the server has."""
        url = EARLIER_PATH.format(attempt_id=claim.attempt_id, number=number)
        request = EarlierRecords(records=records)
        return self.persist(claim, partial(self._call, claim, url, request, EarlierReply)).acked_seq

    def upload(self, claim: Claim, name: str, path: Path, pulse: Callable[[], object]) -> None:
        """Store a file as an artifact of the claim. Calls pulse after each chunk; safe to repeat."""
        sha256 = hashlib.sha256()
        for chunk in read_chunks(path):
            sha256.update(chunk)
            pulse()
        url = UPLOAD_PATH.format(attempt_id=claim.attempt_id, name=name)
        headers = _attempt_headers(claim) | {SHA256_HEADER: sha256.hexdigest()}

        def send() -> None:
            read_nothing(send_file(self._client, url, headers, path, pulse=pulse))

        self.persist(claim, send)

    def finish(self, claim: Claim, request: FinishRequest) -> FinishReply:
        """Finish the attempt. Raises RecordsMissing while the server lacks a record."""
        url = FINISH_PATH.format(attempt_id=claim.attempt_id)
        return self.persist(
            claim, partial(self._call, claim, url, request, FinishReply, FINISH_TIMEOUT)
        )

    def persist(self, claim: Claim, action: Callable[[], T]) -> T:
        """Retry an action for the claim until the server responds, within the time limit for results."""
        # Shorter than the lease: after the server recovers, this worker must reach it before the lease expires.
        longest = min(LONGEST_PAUSE_SECONDS, claim.lease_seconds / 3)
        return retry(action, Policy(self._patience_seconds, longest, self._wait))

    def _download(
        self, claim: Claim, url: str, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        damaged = 0

        def fetch() -> None:
            nonlocal damaged
            try:
                receive_file(self._client, url, _attempt_headers(claim), sha256, path, pulse=pulse)
            except DamagedDownload as problem:
                damaged += 1
                if damaged >= DAMAGED_TRIES:
                    raise Refused(problem.status, "damaged", str(problem)) from problem
                raise

        self.persist(claim, fetch)

    def _call(
        self,
        claim: Claim,
        url: str,
        request: BaseModel,
        reply: type[M],
        timeout: httpx2.Timeout = TIMEOUT,
    ) -> M:
        """Send a request for the claim and return the reply. One try; raises ServerUnavailable or Refused."""
        return read(self._post(url, _attempt_headers(claim), request, timeout), reply)

    def _post(
        self,
        url: str,
        headers: Mapping[str, str],
        request: BaseModel,
        timeout: httpx2.Timeout = TIMEOUT,
    ) -> httpx2.Response:
        with reaching_server():
            response = self._client.post(
                url,
                headers={**headers, "Content-Type": "application/json"},
                content=request.model_dump_json(),
                timeout=timeout,
            )
        return check_success(response)


def is_loopback(host: str) -> bool:
    """Return whether requests to this host must bypass a proxy set in the environment."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _attempt_headers(claim: Claim) -> dict[str, str]:
    return {"Authorization": f"Bearer {claim.token}", CODES_HEADER: CODES_VERSION}
