"""Server: what a worker says over HTTP. The only network code besides the hub's.

A server that cannot be reached is tried again with growing, jittered pauses, within a bound; a refusal is not.
Which is which stands in answers.py.
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
import structlog

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
from contracts.error_codes import CODES_HEADER, CODES_VERSION
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
    SYNC_PATH,
    UPLOAD_PATH,
)
from worker.supervisor.answers import Refused, ServerAway, read, read_nothing, read_refusal

log = structlog.get_logger(__name__)

T = TypeVar("T")

CHUNK_BYTES = 1024 * 1024
TIMEOUT = httpx2.Timeout(15, connect=5)
"""Seconds that connecting, and each read or write, may take."""
BULK_TIMEOUT = httpx2.Timeout(120, connect=5)
"""The same for uploads, downloads and finish, after which the server has hashing and settling to do."""
LONGEST_PAUSE_SECONDS = 15.0
ERROR_TRIES = 5
"""Answers of status 500 to one call after which it is given up."""
DAMAGED_TRIES = 3
"""Downloads that arrive damaged after which what the server has counts as damaged."""


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
            ),
            read_nothing,
        )

    def claim(self, worker: WorkerInfo) -> Claim | None:
        """Ask for the best job that fits; None if there is none."""
        # Said again in each try, so that a reply that was lost costs no second attempt.
        claim_id = secrets.token_hex(16)
        body = ClaimRequest(worker=worker, claim_id=claim_id).model_dump_json()
        read_claim = read(Claim)
        return self._persist(
            self._claim_patience_seconds,
            LONGEST_PAUSE_SECONDS,
            lambda: self._client.post(
                CLAIM_PATH, headers=self._worker_headers | _JSON, content=body
            ),
            lambda response: None if response.status_code == 204 else read_claim(response),
        )

    def sync(self, claim: Claim, request: SyncRequest) -> SyncReply:
        """Send what is new, learn what is wanted. One try: the caller comes again."""
        return self._call(
            lambda: self._client.post(
                SYNC_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=request.model_dump_json(),
            ),
            read(SyncReply),
        )

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
        return self._call(
            lambda: self._client.post(
                CHECKPOINT_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=offer.model_dump_json(),
            ),
            read(CheckpointReply),
        )

    def send_checkpoint_file(
        self, claim: Claim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Send a file of an offered checkpoint. One try; raises FileNotOffered if it is not, or no longer."""
        url = BLOB_PATH.format(attempt_id=claim.attempt_id, sha256=sha256)
        self._call(lambda: self._put(claim, url, path, {}, pulse), read_nothing)

    def hand_in_earlier(self, claim: Claim, number: int, records: list[Record]) -> int:
        """Hand in records of an earlier attempt of the job; return up to where the server has them."""
        body = EarlierRecords(records=records).model_dump_json()
        reply = self._insist(
            claim,
            lambda: self._client.post(
                EARLIER_PATH.format(attempt_id=claim.attempt_id, number=number),
                headers=_attempt_headers(claim) | _JSON,
                content=body,
            ),
            read(EarlierReply),
        )
        return reply.acked_seq

    def upload(self, claim: Claim, name: str, path: Path, pulse: Callable[[], object]) -> None:
        """Store a file as an artifact of the claim. Calls pulse after each chunk; a repeat is harmless."""
        sha256 = hashlib.sha256()
        for chunk in _chunks(path):
            sha256.update(chunk)
            pulse()
        url = UPLOAD_PATH.format(attempt_id=claim.attempt_id, name=name)
        announced = {SHA256_HEADER: sha256.hexdigest()}
        self._insist(
            claim,
            lambda: self._put(claim, url, path, announced, pulse),
            read_nothing,
        )

    def finish(self, claim: Claim, request: FinishRequest) -> FinishReply:
        """End the attempt. Raises RecordsMissing while the server lacks a record."""
        return self._insist(
            claim,
            lambda: self._client.post(
                FINISH_PATH.format(attempt_id=claim.attempt_id),
                headers=_attempt_headers(claim) | _JSON,
                content=request.model_dump_json(),
                timeout=BULK_TIMEOUT,
            ),
            read(FinishReply),
        )

    def persist(self, claim: Claim, action: Callable[[], None]) -> None:
        """Repeat an action of the claim until the server answers it, within the bound for results."""

        def send() -> httpx2.Response:
            action()
            return httpx2.Response(204)

        self._insist(claim, send, read_nothing)

    def _download(
        self, claim: Claim, url: str, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        damaged = 0

        def fetch() -> httpx2.Response:
            nonlocal damaged
            pulse()  # however often it is tried, the attempt stays in touch
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
                name = url.rpartition("/")[2]
                if SHA256_HEADER not in response.headers:
                    raise ServerAway(
                        f"{name}: it came from something that is not a Stepline server"
                    )
                damaged += 1
                problem = f"{name} arrived with another SHA-256 than announced"
                if damaged >= DAMAGED_TRIES:
                    raise Refused(response.status_code, "damaged", problem)
                raise DamagedDownload(problem)
            return response

        self._insist(claim, fetch, lambda _: None)

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

        pulse()  # however often it is tried, the attempt stays in touch
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

    def _insist(
        self,
        claim: Claim,
        send: Callable[[], httpx2.Response],
        read_success: Callable[[httpx2.Response], T],
    ) -> T:
        # With pauses in which no lease runs out: a server that comes back hears of the attempt in time.
        longest = min(LONGEST_PAUSE_SECONDS, claim.lease_seconds / 3)
        return self._persist(self._patience_seconds, longest, send, read_success)

    def _persist(
        self,
        patience_seconds: float,
        longest_pause_seconds: float,
        send: Callable[[], httpx2.Response],
        read_success: Callable[[httpx2.Response], T],
    ) -> T:
        give_up_at = time.monotonic() + patience_seconds
        pause, errors, told = 0.25, 0, False
        while True:
            try:
                return self._call(send, read_success)
            except ServerAway as away:
                if time.monotonic() >= give_up_at:
                    raise
                if not told:
                    log.warning("the server is away; trying again", reason=str(away))
                    told = True
                shortest = away.retry_after_seconds
            except Refused as refusal:
                errors += 1
                if refusal.status != 500 or errors >= ERROR_TRIES:
                    raise
                shortest = 0.0
            jittered = pause * random.uniform(0.75, 1.25)  # noqa: S311  # spreads load, guards nothing
            self._wait(min(max(shortest, jittered), max(0.0, give_up_at - time.monotonic())))
            pause = min(pause * 2, longest_pause_seconds)

    def _call(
        self,
        send: Callable[[], httpx2.Response],
        read_success: Callable[[httpx2.Response], T],
    ) -> T:
        try:
            response = send()
        except httpx2.RequestError as error:
            raise ServerAway(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            return read_success(response)
        raise read_refusal(response)


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
    return {"Authorization": f"Bearer {claim.token}", CODES_HEADER: CODES_VERSION}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
