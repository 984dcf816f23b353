"""A real training is mirrored with W&B's real library, in its offline mode."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from tests.e2e.conftest import place_model, tiny_rows
from tests.e2e.service import Service, wait_for
from tests.openai.checks.case import SMALL
from tests.tiny_model import make_tiny_qwen2

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def install_wandb() -> Path:
    """Return a directory with the pinned version of W&B's library, which is installed on the first use."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    [pinned] = [line for line in lines if line.startswith("wandb==")]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    directory = cache / "stepline" / "tests" / pinned.replace("==", "-")
    if not directory.exists():
        temporary = directory.with_name(f"{directory.name}.tmp")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(temporary)]
        subprocess.run([*install, "-c", "constraints.txt", pinned], cwd=ROOT, check=True)
        temporary.rename(directory)
    return directory


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "STEPLINE_WANDB": "true",
        "WANDB_MODE": "offline",
        "PYTHONPATH": f"{ROOT}:{install_wandb()}",
    }
    model = make_tiny_qwen2(tmp_path_factory.mktemp("models") / "tiny-qwen2")
    with Service(tmp_path_factory.mktemp("service"), **settings) as running:
        place_model(running, model)
        yield running


def test_the_metrics_of_a_job_are_mirrored_to_a_run_with_its_id(
    client: OpenAI, service: Service
) -> None:
    file = client.files.create(file=("train.jsonl", tiny_rows(40).encode()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="tiny-qwen2",
        training_file=file.id,
        integrations=[{"type": "wandb", "wandb": {"project": "a-project", "tags": ["tiny"]}}],
        extra_body={"stepline": SMALL | {"training": {"max_length": 128, "max_steps": 100_000}}},
    )
    assert job.integrations is not None
    assert job.integrations[0].wandb.project == "a-project"
    job_id = job.id.replace("ftjob-", "job_")

    def mirrored() -> list[str]:
        codes = [event["code"] for event in service.get(f"/v1/jobs/{job_id}/events")["data"]]
        return [code for code in codes if code.startswith("wandb_")]

    wait_for(lambda: bool(mirrored()), 120, service.logs)
    assert mirrored() == ["wandb_started"], service.logs()
    service.wait_for_step(job_id, 5)
    service.cancel(job_id)

    [run] = (service.directory / "work" / "wandb").rglob(f"run-{job_id}.wandb")
    # The process ends shortly after the attempt.
    wait_for(lambda: b"valid_loss" in run.read_bytes(), 60, service.logs)
    assert b"a-project" in run.read_bytes()
    assert b"train_mean_token_accuracy" in run.read_bytes()
