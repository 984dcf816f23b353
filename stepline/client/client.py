"""Client: the entry point for one service. It is synchronous; threads must not use the same client at the same time."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from contracts.job_status import JobStatus
from stepline.client.address import is_local
from stepline.client.datasets import Datasets
from stepline.client.job import Job
from stepline.client.paging import read_pages
from stepline.client.transport import TIMEOUT_SECONDS, Transport
from stepline.client.views import JobView, Model, Page, Plan, Worker

if TYPE_CHECKING:
    from contracts.job import JobSpec


class Client:
    """A client of the service at `base_url`, such as `http://127.0.0.1:8000`.

    `language` (`en` or `zh`) is the language of messages, and `api_key` is sent as a bearer token. A request fails if
    the service sends nothing for `timeout_seconds`. Requests that fail because of the connection are retried; if
    they keep failing, ServerUnreachable is raised. If the service rejects a request, ApiError is raised with its code.
    """

    def __init__(
        self,
        base_url: str,
        language: str | None = None,
        attempts: int = 5,
        *,
        api_key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._transport = Transport(
            base_url, language, attempts, api_key=api_key, timeout_seconds=timeout_seconds
        )
        self.datasets = Datasets(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def base_url(self) -> str:
        """The service's address, without a trailing slash."""
        return self._transport.base_url

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine."""
        return is_local(self._transport.base_url)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(
        self,
        spec: "JobSpec | Mapping[str, Any]",
        *,
        require_fit: bool = False,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job and return it. A retry after a lost connection does not create a second job.

        `require_fit` rejects a job that is not known to fit the memory of an online worker. Raises InvalidRequest with
        the first invalid field as `param`.
        """
        view = self._transport.read(
            JobView,
            "POST",
            "/v1/jobs",
            json=_as_json(spec),
            params={"require_fit": "true"} if require_fit else {},
            headers={"Idempotency-Key": idempotency_key or uuid.uuid4().hex},
        )
        return Job(self._transport, view.id, view)

    def plan(self, spec: "JobSpec | Mapping[str, Any]") -> Plan:
        """Check a spec and return the job's plan. Nothing is stored. Raises InvalidRequest."""
        return self._transport.read(
            Plan, "POST", "/v1/jobs", json=_as_json(spec), params={"dry_run": "true"}
        )

    def job(self, job_id: str) -> Job:
        """Return a job. The server is not contacted until the job is used."""
        return Job(self._transport, job_id)

    def jobs(
        self,
        *,
        status: Sequence[JobStatus | str] = (),
        labels: Sequence[str] = (),
        search: str | None = None,
        sort: str | None = None,
        archived: str | None = None,
        page_size: int = 50,
    ) -> Iterator[JobView]:
        """Yield jobs, newest first or in the order of `sort`. The filters are those of `GET /v1/jobs`."""
        params: dict[str, Any] = {"limit": page_size}
        if status:
            params["status"] = [str(each) for each in status]
        if labels:
            params["label"] = list(labels)
        given = {"search": search, "sort": sort, "archived": archived}
        params |= {name: value for name, value in given.items() if value is not None}
        return read_pages(self._transport, JobView, "/v1/jobs", params)

    def models(self) -> Iterator[Model]:
        """Yield the models on the workers."""
        return read_pages(self._transport, Model, "/v1/models")

    def workers(self) -> list[Worker]:
        """Return the workers that contacted the server within the last week."""
        return self._transport.read(Page[Worker], "GET", "/v1/workers").data


def _as_json(spec: "JobSpec | Mapping[str, Any]") -> Any:
    # Omit defaults: the server fills them in, and they must not override a preset.
    if isinstance(spec, Mapping):
        return dict(spec)
    return spec.model_dump(mode="json", exclude_unset=True)
