"""Server: what a worker says over HTTP. The only network code besides the hub's.

A server that cannot be reached is tried again with growing, jittered pauses, within a bound; a refusal is not.
"""

import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

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
from contracts.record import Record
from contracts.wire import (
    BLOB_PATH,
    CHECKPOINT_PATH,
    CLAIM_PATH,
    DATASET_PATH,
    EARLIER_PATH,
    FINISH_PATH,
    HELLO_PATH,
    SHA256_HEADER,
    SHOULD_RETRY_HEADER,
    SYNC_PATH,
    UPLOAD_PATH,
)

M = TypeVar("M", bound=BaseModel)

CHUNK_BYTES = 1024 * 1024
TIMEOUT = httpx2.Timeout(15, connect=5)
"""Seconds that connecting, and each read or write, may take."""
BULK_TIMEOUT = httpx2.Timeout(120, connect=5)
"""The same for uploads, downloads and finish, after which the server has hashing and settling to do."""
AWAY_STATUSES = frozenset({408, 425, 429, 502, 503, 504, 507})
LONGEST_PAUSE_SECONDS = 15.0
ERROR_TRIES = 5
"""Answers of status 500 to one call after which it is given up."""
DAMAGED_TRIES = 3
"""Downloads that arrive damaged after which what the server has counts as damaged."""


class ServerAway(Exception):
    """The server cannot be reached, or says that it cannot answer now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Refused(Exception):
    """The server answered no; asking again will not help."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Superseded(Refused):
    """The attempt is no longer ours: another one has taken over, or the job is settled."""


class RecordsMissing(Refused):
    """The server lacks records of an attempt that wants to finish, or to store a checkpoint."""


class DamagedDownload(ServerAway):
    """A download arrived, but not what was announced."""


class Server:
    """The server, as one worker process speaks to it. Not to be shared between threads."""

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
        """Say that this worker is there. One try; raises ServerAway or Refused."""
        self._call(
            lambda: self._client.post(
                HELLO_PATH, headers=self._worker_headers | _JSON, content=worker.model_dump_json()
            )
        )

    def claim(self, worker: WorkerInfo) -> Claim | None:
        """Ask for the best job that fits; None if there is none."""
        # Said again in each try, so that a reply that was lost costs no second attempt.
        claim_id = secrets.token_hex(16)
        body = ClaimRequest(worker=worker, claim_id=claim_id).model_dump_json()
        response = self._persist(
            self._claim_patience_seconds,
            lambda: self._client.post(
                CLAIM_PATH, headers=self._worker_headers | _JSON, content=body
            ),
        )
        return None if response.status_code == 204 else _read(Claim, response)

    def sync(self, claim: Claim, request: SyncRequest) -> SyncReply:
        """Send what is new, learn what is wanted. One try: the caller comes again."""
        response = self._call(
            lambda: self._client.post(
                SYNC_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=request.model_dump_json(),
            )
        )
        return _read(SyncReply, response)

    def download(
        self, claim: Claim, dataset_id: str, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Write a dataset of the claim to path, checked against its SHA-256. Calls pulse after each chunk."""
        self._download(
            claim,
            DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset_id),
            sha256,
            path,
            pulse,
        )

    def fetch_checkpoint_file(
        self, claim: Claim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Write a file of a checkpoint of the claim's job to path, checked against its SHA-256."""
        url = BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256)
        self._download(claim, url, sha256, path, pulse)

    def offer_checkpoint(self, claim: Claim, offer: CheckpointOffer) -> CheckpointReply:
        """Offer a checkpoint, learn what is missing. One try; raises RecordsMissing while its record has not arrived."""
        response = self._call(
            lambda: self._client.post(
                CHECKPOINT_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=offer.model_dump_json(),
            )
        )
        return _read(CheckpointReply, response)

    def send_checkpoint_file(
        self, claim: Claim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Send a file of an offered checkpoint. One try."""
        url = BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256)
        self._call(lambda: self._put(claim, url, path, {}, pulse))

    def hand_in_earlier(self, claim: Claim, number: int, records: list[Record]) -> int:
        """Hand in records of an earlier attempt of the job; return up to where the server has them."""
        body = EarlierRecords(records=records).model_dump_json()
        response = self._persist(
            self._patience_seconds,
            lambda: self._client.post(
                EARLIER_PATH.format(attempt_id=claim.attempt_id, number=number),
                headers=_attempt_headers(claim) | _JSON,
                content=body,
            ),
        )
        return _read(EarlierReply, response).acked_seq

    def upload(self, claim: Claim, name: str, path: Path, pulse: Callable[[], object]) -> None:
        """Store a file as an artifact of the claim. Calls pulse after each chunk; a repeat is harmless."""
        sha256 = hashlib.sha256()
        for chunk in _chunks(path):
            sha256.update(chunk)
            pulse()
        url = UPLOAD_PATH.format(attempt_id=claim.attempt_id, name=name)
        announced = {SHA256_HEADER: sha256.hexdigest()}
        self._persist(self._patience_seconds, lambda: self._put(claim, url, path, announced, pulse))

    def finish(self, claim: Claim, request: FinishRequest) -> FinishReply:
        """End the attempt. Raises RecordsMissing while the server lacks a record."""
        response = self._persist(
            self._patience_seconds,
            lambda: self._client.post(
                FINISH_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=request.model_dump_json(),
                timeout=BULK_TIMEOUT,
            ),
        )
        return _read(FinishReply, response)

    def persist(self, action: Callable[[], None]) -> None:
        """Repeat an action until the server answers it, within the bound for results."""

        def send() -> httpx2.Response:
            action()
            return httpx2.Response(204)

        self._persist(self._patience_seconds, send)

    def _download(
        self, claim: Claim, url: str, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        damaged = 0

        def fetch() -> httpx2.Response:
            nonlocal damaged
            digest = hashlib.sha256()
            with (
                self._client.stream(
                    "GET", url, headers=_attempt_headers(claim), timeout=BULK_TIMEOUT
                ) as response,
                path.open("wb") as file,
            ):
                if not response.is_success:
                    response.read()
                    return response
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
                    pulse()
            if digest.hexdigest() != sha256:
                damaged += 1
                problem = f"{url.rpartition('/')[2]} arrived with another SHA-256 than announced"
                if damaged >= DAMAGED_TRIES:
                    raise Refused(response.status_code, "damaged", problem)
                raise DamagedDownload(problem)
            return response

        self._persist(self._patience_seconds, fetch)

    def _put(
        self,
        claim: Claim,
        url: str,
        path: Path,
        headers: dict[str, str],
        pulse: Callable[[], object],
    ) -> httpx2.Response:
        def body() -> Iterator[bytes]:
            for chunk in _chunks(path):
                yield chunk
                pulse()

        described = {
            "Content-Length": str(path.stat().st_size),
            "Content-Type": "application/octet-stream",
        }
        return self._client.put(
            url,
            headers=_attempt_headers(claim) | described | headers,
            content=body(),
            timeout=BULK_TIMEOUT,
        )

    def _persist(
        self, patience_seconds: float, send: Callable[[], httpx2.Response]
    ) -> httpx2.Response:
        give_up_at = time.monotonic() + patience_seconds
        pause, errors = 0.25, 0
        while True:
            try:
                return self._call(send)
            except ServerAway as away:
                if time.monotonic() >= give_up_at:
                    raise
                shortest = away.retry_after_seconds
            except Refused as refusal:
                errors += 1
                if refusal.status != 500 or errors >= ERROR_TRIES:
                    raise
                shortest = 0.0
            jittered = pause * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards nothing
            self._wait(min(max(shortest, jittered), max(0.0, give_up_at - time.monotonic())))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _call(self, send: Callable[[], httpx2.Response]) -> httpx2.Response:
        try:
            response = send()
        except httpx2.TransportError as error:
            raise ServerAway(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            return response
        raise _refusal(response)


def is_loopback(host: str) -> bool:
    """Whether a proxy of the environment must not be asked for this host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_JSON = {"Content-Type": "application/json"}
_KINDS: dict[str, type[Refused]] = {
    "attempt_superseded": Superseded,
    "records_missing": RecordsMissing,
    "checkpoint_untold": RecordsMissing,
}


def _attempt_headers(claim: Claim) -> dict[str, str]:
    return {"Authorization": f"Bearer {claim.token}"}


def _read(model: type[M], response: httpx2.Response) -> M:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise ServerAway(f"no answer of a server that we understand: {error}") from error


def _refusal(response: httpx2.Response) -> ServerAway | Refused:
    code, message = _read_error(response)
    should_retry = response.headers.get(SHOULD_RETRY_HEADER, "true").lower() != "false"
    if response.status_code in AWAY_STATUSES and should_retry:
        return ServerAway(
            f"{response.status_code} {code}: {message}",
            _seconds(response.headers.get("Retry-After", "")),
        )
    kind = _KINDS.get(code, Refused)
    return kind(response.status_code, code, message)


def _read_error(response: httpx2.Response) -> tuple[str, str]:
    try:
        error = response.json()["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "unknown", response.text[:200]


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else 0.0


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
