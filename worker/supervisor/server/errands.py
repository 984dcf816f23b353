"""ErrandServer: the HTTP client for errands."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
from pydantic import BaseModel

from contracts.errands.errand import (
    ErrandBeat,
    ErrandClaim,
    ErrandClaimRequest,
    ErrandOutcome,
    ErrandProgress,
    PreviewedLine,
    PreviewedLines,
)
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
from worker.supervisor.server.answers import check_success, reaching_server, read, read_nothing
from worker.supervisor.server.client import TIMEOUT, is_loopback
from worker.supervisor.server.transfer import read_chunks, receive_file, send_file

CHECK_SECONDS = 900
"""Time limit for the server to check the rows of an import."""
READ_SECONDS = 60
"""Time limit for a response, in addition to the time that the server is asked to wait."""


class ErrandServer:
    """A client for errands. Do not share it between threads. Each call is one try; it raises ServerUnavailable or Refused."""

    def __init__(self, url: str, worker_token: str) -> None:
        self._client = httpx2.Client(
            base_url=url, timeout=TIMEOUT, trust_env=not is_loopback(httpx2.URL(url).host)
        )
        self._headers = {"Authorization": f"Bearer {worker_token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def claim(
        self, worker_id: str, kinds: Sequence[str], models: Sequence[str], wait_seconds: float
    ) -> ErrandClaim | None:
        """Claim an errand. The server waits up to `wait_seconds` for one; return None if there is none."""
        request = ErrandClaimRequest(
            worker_id=worker_id, kinds=list(kinds), models=list(models), wait_seconds=wait_seconds
        )
        response = self._post(ERRAND_CLAIM_PATH, {}, request, READ_SECONDS + wait_seconds)
        return None if response.status_code == 204 else read(response, ErrandClaim)

    def rows(self, claim: ErrandClaim) -> list[PreviewedLine]:
        """Return the rows of a preview."""
        url = ERRAND_ROWS_PATH.format(errand_id=claim.errand_id)
        headers = self._headers | _token(claim)
        with reaching_server():
            response = self._client.get(url, headers=headers, timeout=READ_SECONDS)
        return read(check_success(response), PreviewedLines).rows

    def send_rows(
        self, claim: ErrandClaim, rows: Path, commit: str, pulse: Callable[[], object]
    ) -> None:
        """Send the rows of an import. The server responds after it has checked them and ended the errand."""
        digest = hashlib.sha256()
        for chunk in read_chunks(rows):
            digest.update(chunk)
            pulse()
        described = {SHA256_HEADER: digest.hexdigest(), COMMIT_HEADER: commit}
        headers = {**self._headers, **_token(claim), **described}
        url = ERRAND_DATASET_PATH.format(errand_id=claim.errand_id)
        timeout = httpx2.Timeout(CHECK_SECONDS, connect=5)
        read_nothing(send_file(self._client, url, headers, rows, pulse=pulse, timeout=timeout))

    def dataset(
        self, claim: ErrandClaim, sha256: str, path: Path, pulse: Callable[[], object]
    ) -> None:
        """Write the dataset of a measurement to path and check its SHA-256. Calls pulse after each chunk."""
        url = ERRAND_DATASET_PATH.format(errand_id=claim.errand_id)
        receive_file(self._client, url, self._headers | _token(claim), sha256, path, pulse=pulse)

    def beat(self, claim: ErrandClaim, progress: ErrandProgress | None) -> None:
        """Renew the lease."""
        url = ERRAND_BEAT_PATH.format(errand_id=claim.errand_id)
        read_nothing(self._post(url, _token(claim), ErrandBeat(progress=progress)))

    def finish(self, claim: ErrandClaim, outcome: ErrandOutcome) -> None:
        """End the errand."""
        url = ERRAND_FINISH_PATH.format(errand_id=claim.errand_id)
        read_nothing(self._post(url, _token(claim), outcome, READ_SECONDS))

    def _post(
        self,
        url: str,
        headers: Mapping[str, str],
        request: BaseModel,
        read_seconds: float = 15,
    ) -> httpx2.Response:
        with reaching_server():
            response = self._client.post(
                url,
                headers={**self._headers, **headers, "Content-Type": "application/json"},
                content=request.model_dump_json(exclude_defaults=True),
                timeout=httpx2.Timeout(read_seconds, connect=5),
            )
        return check_success(response)


def _token(claim: ErrandClaim) -> dict[str, str]:
    return {ERRAND_TOKEN_HEADER: claim.token}
