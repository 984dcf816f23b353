"""Server: what a worker says over HTTP. The only network code besides the hub's.

A server that cannot be reached is tried again with growing, jittered pauses, within a bound; a refusal is not.
"""

import hashlib
import random
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
    FinishReply,
    FinishRequest,
    SyncReply,
    SyncRequest,
    WorkerInfo,
)
from contracts.wire import (
    CLAIM_PATH,
    DATASET_PATH,
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
AWAY_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
LONGEST_PAUSE_SECONDS = 15.0
ERROR_TRIES = 5
"""Answers of status 500 to one call after which it is given up."""


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
    """The server lacks records of an attempt that wants to finish."""


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
        body = ClaimRequest(worker=worker).model_dump_json()
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

        def fetch() -> httpx2.Response:
            digest = hashlib.sha256()
            with (
                self._client.stream(
                    "GET",
                    DATASET_PATH.format(attempt_id=claim.attempt_id, dataset_id=dataset_id),
                    headers=_attempt_headers(claim),
                    timeout=BULK_TIMEOUT,
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
                raise DamagedDownload(f"{dataset_id} arrived with another SHA-256 than announced")
            return response

        self._persist(self._patience_seconds, fetch)

    def upload(self, claim: Claim, name: str, path: Path, pulse: Callable[[], object]) -> None:
        """Store a file as an artifact of the claim. Calls pulse after each chunk; a repeat is harmless."""
        sha256 = hashlib.sha256()
        for chunk in _chunks(path):
            sha256.update(chunk)
            pulse()
        headers = _attempt_headers(claim) | {
            SHA256_HEADER: sha256.hexdigest(),
            "Content-Length": str(path.stat().st_size),
            "Content-Type": "application/octet-stream",
        }

        def body() -> Iterator[bytes]:
            for chunk in _chunks(path):
                yield chunk
                pulse()

        self._persist(
            self._patience_seconds,
            lambda: self._client.put(
                UPLOAD_PATH.format(attempt_id=claim.attempt_id, name=name),
                headers=headers,
                content=body(),
                timeout=BULK_TIMEOUT,
            ),
        )

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
    kind = {"attempt_superseded": Superseded, "records_missing": RecordsMissing}.get(code, Refused)
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
