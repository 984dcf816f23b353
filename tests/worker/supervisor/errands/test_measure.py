"""The process that counts tokens: the source of its rows, its report, and the removal of its files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errands.errand import ErrandOutcome
from contracts.errands.measurement import MeasureRequest, MeasureResult
from contracts.errands.reason import ErrandReason
from tests.tiny_model import make_tokenizer
from worker.settings import Settings
from worker.supervisor.errands.measure import run_measurement
from worker.supervisor.host.models.model_files import identify, read_facts

ROWS = b"".join(
    json.dumps({"instruction": "a", "output": "b " * number}).encode() + b"\n"
    for number in range(1, 101)
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "tiny"
    make_tokenizer(["a b c"], vocabulary=300).save_pretrained(directory)
    (directory / "config.json").write_text('{"model_type": "qwen2"}')
    return directory.parent


def write(path: Path) -> None:
    path.write_bytes(ROWS)


def run(root: Path, download: Callable[[Path], None], model: str = "tiny") -> ErrandOutcome:
    request = MeasureRequest(kind="measure", dataset_id="ds_00000000", sha256="0" * 64, model=model)
    work = root.with_name("work")
    work.mkdir(exist_ok=True)
    settings = Settings(models_dir=root, work_dir=work)
    outcome = run_measurement(request, download, settings, {"HF_HOME": str(root)}, lambda _: None)
    assert list(work.iterdir()) == []
    return outcome


def test_the_counts_name_the_tokenizer_that_the_worker_reports(root: Path) -> None:
    outcome = run(root, write)

    assert isinstance(outcome.result, MeasureResult), outcome
    assert outcome.result.tokenizer == read_facts(root / "tiny", "tiny").tokenizer
    assert (outcome.result.counts.rows, outcome.result.counts.measured_rows) == (100, 100)


def test_counts_are_discarded_if_the_tokenizer_has_changed_in_the_meantime(root: Path) -> None:
    before = identify(root / "tiny")

    def download(path: Path) -> None:
        write(path)
        (root / "tiny" / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")

    outcome = run(root, download)

    assert identify(root / "tiny") != before
    assert outcome.failure is not None
    assert "changed" in outcome.failure.detail


def test_a_model_that_the_worker_does_not_have_is_not_downloaded(root: Path) -> None:
    outcome = run(root, lambda _: None, model="owner/absent")

    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.MODEL_NOT_FOUND
