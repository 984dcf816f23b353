"""What the checks share: the list of checks, a client, and a job that has ended."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import openai

from tests.openai.checks.receiver import Received, Receiver

MODEL = "tiny-qwen2"
STEPS = 8
"""Of the job that trains on 40 rows, of which 8 are held out, with a batch of 4."""
SMALL = {
    "training": {"max_length": 128},
    "lora": {"rank": 8, "alpha": 16},
    "dataset": {"eval_size": 8},
    "checkpoint": {"every_steps": 3},
}
CHOSEN = {"n_epochs": 1, "batch_size": 4}
JOB: dict[str, Any] = {
    "model": MODEL,
    "suffix": "my tiny",
    "metadata": {"team": "a"},
    "stepline": SMALL,
    "method": {"type": "supervised", "supervised": {"hyperparameters": CHOSEN}},
}
"""The body of the request that creates the job, without its file."""
FINAL = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Case:
    """A client, rows, a job that has ended, and the webhooks that were received."""

    client: Any  # each version of the client has other types
    url: str
    """Address of the service, without `/v1`."""
    rows: bytes
    job: Any
    """The job as its creation returned it."""
    done: Any
    """The job after its end."""
    receiver: Receiver
    secret: str
    """Of the webhook endpoint."""

    def upload(self, rows: bytes | None = None) -> Any:
        file = ("train.jsonl", self.rows if rows is None else rows)
        return self.client.files.create(file=file, purpose="fine-tune")

    def create(self, file_id: str, **fields: Any) -> Any:
        return create_job(self.client, model=MODEL, training_file=file_id, **fields)

    def webhook(self) -> Received:
        """Wait for the next webhook."""
        return self.receiver.received.get(timeout=30)


Run = Callable[[Case], None]


@dataclass(frozen=True)
class Check:
    """A check, and the attributes of the client without which it is absent."""

    run: Run
    needed: tuple[str, ...]
    is_slow: bool
    is_last: bool
    """Whether it removes what other checks need."""

    def is_absent(self, client: Any) -> bool:
        return not all(_has(client, name) for name in self.needed)


CHECKS: dict[str, Check] = {}


def check(*needed: str, is_slow: bool = False, is_last: bool = False) -> Callable[[Run], Run]:
    """Add a function to the checks."""

    def add(run: Run) -> Run:
        CHECKS[run.__name__] = Check(run, needed, is_slow, is_last)
        return run

    return add


@contextmanager
def open_case(url: str, rows: bytes, key: str | None = None) -> Iterator[Case]:
    """Train on the rows, and yield what the checks need. The service must be allowed to send webhooks to 127.0.0.1.

    `key` is sent as the idempotency key of the job.
    """
    opened: Any = openai.OpenAI(base_url=f"{url}/v1", api_key="any-key")
    with opened as client, Receiver() as receiver:
        endpoint = client.post(
            "/webhook_endpoints",
            body={
                "name": "checks",
                "url": receiver.url,
                "event_types": ["fine_tuning.job.succeeded"],
            },
            cast_to=dict[str, object],
        )
        file = client.files.create(file=("train.jsonl", rows), purpose="fine-tune")
        assert client.files.wait_for_processing(file.id).status == "processed"
        job = create_job(
            client,
            training_file=file.id,
            extra_headers={} if key is None else {"Idempotency-Key": key},
            **_fields_for(client),
        )
        done = poll(client, job.id)
        yield Case(client, url, rows, job, done, receiver, endpoint["signing_secret"])
        client.delete(f"/webhook_endpoints/{endpoint['id']}", cast_to=dict[str, object])


def create_job(client: Any, **fields: Any) -> Any:
    """Create a job. Fields that this version of the client does not know are sent in `extra_body`."""
    create = client.fine_tuning.jobs.create
    known = set(inspect.signature(create).parameters)
    extra = {name: value for name, value in fields.items() if name not in known}
    given = {name: value for name, value in fields.items() if name in known}
    return create(extra_body=extra, **given)


def has_ended(job: Any) -> bool:
    """Return whether the job's status is final."""
    return job.status in FINAL


def poll(
    client: Any, job_id: str, seconds: float = 180, is_met: Callable[[Any], bool] = has_ended
) -> Any:
    """Retrieve the job until it meets the condition; return it."""
    deadline = time.monotonic() + seconds
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        if is_met(job):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.1)


def error_of(request: Callable[[], Any]) -> Any:
    """Return the error that the request raises."""
    try:
        result = request()
    except (openai.OpenAIError, ValueError) as error:  # a wrong signature is a ValueError
        return error
    raise AssertionError(f"no error, but {result!r}")


def text_of(client: Any, file_id: str) -> str:
    """Return the content of a file."""
    text: str = client.files.content(file_id).text
    return text


def _fields_for(client: Any) -> dict[str, Any]:
    if "method" in inspect.signature(client.fine_tuning.jobs.create).parameters:
        return JOB
    # Early versions have only the older field.
    return {name: each for name, each in JOB.items() if name != "method"} | {
        "hyperparameters": CHOSEN
    }


def _has(client: Any, name: str) -> bool:
    try:
        attrgetter(name)(client)
    except AttributeError:
        return False
    return True
