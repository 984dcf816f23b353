"""The Python client against a complete, real service."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepline import Client, Job, ServerUnreachable, SteplineError
from stepline.client.downloads import partial_path
from stepline.client.errors import Conflict, InvalidRequest, NotFound
from stepline.client.parts import upload_in_parts
from stepline.client.updates import Disconnected, Happened, Metrics, Rewound, StatusChanged, Update
from tests.e2e.conftest import make_job, tiny_rows
from tests.e2e.service import Service
from tests.faults.harness.proxy import FaultProxy
from tests.programs.ports import find_free_port
from tests.stepline.service.conftest import Watched

NOBODY = "nobody"
"""A queue without workers."""


@pytest.fixture
def proxy(service: Service) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", service.port)) as proxy:
        yield proxy


@pytest.fixture
def distant(proxy: FaultProxy) -> Iterator[Client]:
    """Yield a client whose connections pass through the proxy, and that repeats requests without pauses."""
    with Client(f"http://127.0.0.1:{proxy.port}") as client:
        client._transport._sleep = lambda _: None
        yield client


def loss_steps(updates: list[Update]) -> list[int]:
    """Return the steps of all losses, in the order received; a new attempt discards those that it repeats."""
    steps: list[int] = []
    for update in updates:
        if isinstance(update, Rewound):
            steps = [step for step in steps if step <= update.step]
        elif isinstance(update, Metrics) and "loss" in update.series:
            steps += update.series["loss"].step
    return steps


def test_a_job_is_submitted_watched_and_downloaded(watched: Watched, tmp_path: Path) -> None:
    adapter = watched.job.download(tmp_path)

    assert watched.job.status == "succeeded"
    assert watched.sent_bytes[-1] == watched.file_bytes
    assert loss_steps(watched.updates) == list(range(1, 31))
    states = [update.job.status for update in watched.updates if isinstance(update, StatusChanged)]
    assert states[-1] == "succeeded"
    assert any(isinstance(update, Happened) for update in watched.updates)
    assert "adapter_model.safetensors" in zipfile.ZipFile(adapter).namelist()
    assert [path.name for path in tmp_path.iterdir()] == [adapter.name]
    assert watched.job.view.load_spec().training.max_steps == 30


def test_a_repeated_submission_creates_one_job(client: Client, service: Service) -> None:
    spec = make_job(service, queue=NOBODY)

    first = client.submit(spec, idempotency_key="a-key")
    second = client.submit(spec, idempotency_key="a-key")

    assert first.id == second.id


def test_a_rejected_request_raises_an_error_with_code_and_param(
    client: Client, service: Service, finished: Job
) -> None:
    spec = make_job(service) | {"training": {"epochs": 0, "seed": -1}}

    with pytest.raises(InvalidRequest) as invalid:
        client.submit(spec)
    with pytest.raises(NotFound):
        client.job("job_000000000000000000000000").refresh()
    with pytest.raises(Conflict):
        finished.pause()

    assert (invalid.value.code, invalid.value.param) == ("invalid_field", "training.epochs")
    assert [problem.param for problem in invalid.value.errors] == [
        "training.epochs",
        "training.seed",
    ]


def test_a_server_that_does_not_answer_raises_server_unreachable() -> None:
    with (
        Client(f"http://127.0.0.1:{find_free_port()}", attempts=2) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.workers()


def test_a_watched_job_keeps_every_update_across_a_restart_of_the_server(
    client: Client, service: Service, running: str
) -> None:
    updates: list[Update] = []

    with client.job(running).updates() as received:
        for update in received:
            updates.append(update)
            lost = [place for place, each in enumerate(updates) if isinstance(each, Disconnected)]
            if isinstance(update, Metrics) and not lost:
                service.stop("api")
                service.start_api()
            if lost and loss_steps(updates[lost[-1] :]):
                break

    steps = loss_steps(updates)
    assert steps == list(range(1, len(steps) + 1))


def test_a_part_whose_response_is_lost_is_sent_again_and_stored_once(
    client: Client, distant: Client, proxy: FaultProxy, tmp_path: Path
) -> None:
    rows = tmp_path / "large.jsonl"
    rows.write_text(tiny_rows(60))
    size = rows.stat().st_size
    proxy.drop_replies(b"/parts")
    sent: list[int] = []

    with rows.open("rb") as file:
        dataset = upload_in_parts(
            distant._transport,
            file,
            rows.name,
            size,
            params={},
            on_progress=lambda done, _: sent.append(done),
            part_bytes=size // 3,
        )

    assert proxy.dropped_replies == 1
    assert sent[-1] == size
    assert client.datasets.get(dataset).filename == "large.jsonl"
    assert client.datasets.upload(rows).id == dataset


def test_an_interrupted_upload_in_parts_leaves_no_open_upload(
    client: Client, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(tiny_rows(10) + "no json")
    paths: list[str] = []
    client._transport._client.event_hooks["request"] = [
        lambda request: paths.append(request.url.path)
    ]

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for on_progress, error in ((interrupt, KeyboardInterrupt), (None, InvalidRequest)):
        with pytest.raises(error):
            client.datasets.upload(rows, large_bytes=1, on_progress=on_progress)

    assert [path.rpartition("/")[2] for path in paths] == [
        *("uploads", "parts", "cancel"),
        *("uploads", "parts", "complete", "cancel"),
    ]


def test_a_download_continues_after_each_lost_connection(
    finished: Job, distant: Client, proxy: FaultProxy, tmp_path: Path
) -> None:
    (artifact,) = [each for each in finished.artifacts() if each.name == "adapter.zip"]
    proxy.set(f"cut:{artifact.bytes // 2}")
    done: list[int] = []

    path = distant.job(finished.id).download(
        tmp_path, on_progress=lambda received, _: done.append(received)
    )

    assert zipfile.is_zipfile(path)
    assert done == sorted(set(done))
    assert done[-1] == artifact.bytes


def test_an_interrupted_download_continues_in_the_next_call(
    finished: Job, service: Service, tmp_path: Path
) -> None:
    target = tmp_path / "adapter.zip"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished.download(target, on_progress=interrupt)
    (partial,) = tmp_path.iterdir()
    received = partial.read_bytes()
    done: list[int] = []
    finished.download(target, on_progress=lambda so_far, _: done.append(so_far))

    assert partial != target
    assert done[0] > len(received) > 0
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes().startswith(received)
    assert zipfile.is_zipfile(target)


def test_a_partial_file_with_wrong_bytes_is_reported_and_deleted(
    finished: Job, tmp_path: Path
) -> None:
    (artifact,) = [each for each in finished.artifacts() if each.name == "adapter.zip"]
    partial_path(tmp_path / "adapter.zip", artifact).write_bytes(b"wrong")

    with pytest.raises(SteplineError, match="damaged"):
        finished.download(tmp_path / "adapter.zip")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_upload_needs_the_same_memory_for_any_size(service: Service, tmp_path: Path) -> None:
    """The file has no valid rows, so the server rejects it after it has been sent."""
    program = (
        "import resource, sys; from stepline import Client, SteplineError\n"
        "with Client(sys.argv[1]) as client:\n"
        "    try: client.datasets.upload(sys.argv[2])\n"
        "    except SteplineError as error: print(error, file=sys.stderr)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for size in (1 << 20, 1 << 30):
        file = tmp_path / "zeros"
        with file.open("wb") as opened:
            opened.truncate(size)
        done = subprocess.run(
            [sys.executable, "-c", program, service.url, str(file)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr
        peaks.append(int(done.stdout))

    assert peaks[1] - peaks[0] < 20_000  # KiB
