"""A prefetch downloads a model from a local hub, or says why not."""

import contextlib
import os
from pathlib import Path

import pytest

from contracts.errands.errand import (
    ErrandProgress,
    PrefetchRequest,
    PrefetchResult,
)
from contracts.errands.reason import ErrandReason
from tests.hub_server import COMMIT, Hub
from tests.programs.processes import children_of, environment_of
from tests.worker.supervisor.hub_files import MODEL_FILES
from worker.settings import Settings
from worker.supervisor.errands.prefetch import run_prefetch


def test_the_token_is_sent_to_the_hub_but_is_in_no_process_environment_and_the_size_is_known(
    hub: Hub, tmp_path: Path
) -> None:
    seen: list[str] = []
    progress: list[ErrandProgress] = []

    def pulse(reached: ErrandProgress | None) -> None:
        if reached is not None:
            progress.append(reached)
        for pid in children_of(os.getpid()):
            with contextlib.suppress(OSError):  # the process has ended or must not be inspected
                seen.extend(environment_of(pid).values())

    environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret"}
    environ |= {"PATH": os.environ["PATH"], "STEPLINE_WORKER_TOKEN": "secret", "AWS_TOKEN": "aws"}
    request = PrefetchRequest(kind="prefetch", model="team/tiny")
    outcome = run_prefetch(request, Settings(), environ, pulse)

    size = sum(len(MODEL_FILES[name]) for name in hub.downloaded)
    assert outcome.result == PrefetchResult(kind="prefetch", revision=COMMIT, bytes=size)
    assert progress[0] == ErrandProgress(bytes_done=0)
    assert all(one.bytes_done <= (one.bytes_total or 0) for one in progress)
    assert {one.bytes_total for one in progress} <= {None, size}
    assert hub.tokens == {"Bearer hf_secret"}
    assert not {"hf_secret", "secret", "aws"} & set(seen)


@pytest.mark.parametrize(
    ("model", "revision", "reason"),
    [
        ("team/absent", None, ErrandReason.MODEL_NOT_FOUND),
        pytest.param(
            "team/tiny", "absent", ErrandReason.REVISION_NOT_FOUND, marks=pytest.mark.slow
        ),
        ("team/tiny", "gated", ErrandReason.MODEL_GATED),
    ],
)
def test_a_failed_prefetch_says_why(
    hub: Hub, tmp_path: Path, model: str, revision: str | None, reason: ErrandReason
) -> None:
    environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    request = PrefetchRequest(kind="prefetch", model=model, revision=revision)

    outcome = run_prefetch(request, Settings(), environ, lambda _: None)

    assert outcome.failure is not None
    assert outcome.failure.reason is reason, outcome.failure.detail
    assert not outcome.failure.reason.is_temporary
    assert "DryRun" not in outcome.failure.detail
    assert hub.downloaded == []
