"""The process that renders a preview: its isolation, its limits and its end."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from contracts.errands.errand import MOST_RESULT_BYTES, PreviewedLine, PreviewRequest, PreviewTask
from contracts.errands.reason import ErrandReason
from tests.programs.processes import children_of, environment_of
from tests.tiny_model import make_tokenizer
from worker.settings import Settings
from worker.supervisor.errands.preview import MEMORY_BYTES, render, run_preview

ROW = json.dumps({"prompt": "a", "completion": "b 🙂"})
ENDLESS = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
SECRETS = {
    "HF_TOKEN": "hf_secret",
    "STEPLINE_WORKER_TOKEN": "token",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "CUDA_VISIBLE_DEVICES": "0",
    "HTTPS_PROXY": "http://user:password@proxy",
}


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    make_tokenizer(["a b c"], vocabulary=300).save_pretrained(directory)
    (directory / "config.json").write_text('{"model_type": "qwen2"}')
    return directory


def task(model: Path, **changes: Any) -> PreviewTask:
    given = {
        "model": model,
        "rows": [PreviewedLine(row=4, line=ROW)],
        "max_length": 64,
        "seconds": 30,
        "memory_bytes": MEMORY_BYTES,
        "output_bytes": MOST_RESULT_BYTES,
    }
    return PreviewTask.model_validate(given | changes)


def with_template(model: Path, directory: Path, template: str) -> Path:
    copy = Path(shutil.copytree(model, directory / "other"))
    (copy / "chat_template.jinja").write_text(template)
    return copy


def test_the_process_has_no_secrets_no_gpu_and_its_own_group_and_an_endless_template_is_stopped(
    model: Path, tmp_path: Path
) -> None:
    endless = with_template(model, tmp_path, ENDLESS)
    seen: dict[int, dict[str, str]] = {}
    groups: set[int] = set()
    before = set(children_of(os.getpid()))

    def look() -> None:
        for pid in set(children_of(os.getpid())) - before:
            with contextlib.suppress(OSError):  # the process has just ended
                seen[pid] = environment_of(pid)
                groups.add(os.getpgid(pid))

    outcome = render(task(endless, seconds=2), os.environ | SECRETS, look)

    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.TIME_LIMIT
    assert set(children_of(os.getpid())) <= before
    (environment,) = seen.values()
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert not set(SECRETS.values()) & set(environment.values())
    assert groups == set(seen)


def test_the_process_of_an_errand_that_is_no_longer_needed_is_stopped(model: Path) -> None:
    before = set(children_of(os.getpid()))

    def pulse() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        render(task(model), os.environ, pulse)

    assert set(children_of(os.getpid())) <= before


def test_memory_is_limited(model: Path, tmp_path: Path) -> None:
    greedy = with_template(model, tmp_path, "{{ 'x' * 3000000000 }}")

    outcome = render(task(greedy, memory_bytes=2 * 1024**3), os.environ, lambda: None)

    assert outcome.failure is not None
    assert outcome.failure.reason in {ErrandReason.MEMORY_LIMIT, ErrandReason.MODEL_REFUSED}
    assert "memory" in outcome.failure.detail


def test_a_model_that_the_worker_does_not_have_is_not_downloaded(tmp_path: Path) -> None:
    request = PreviewRequest(
        kind="preview", dataset_id="ds_00000000", model="owner/absent", rows=[0], max_length=64
    )
    settings = Settings(models_dir=tmp_path)

    outcome = run_preview(request, list, settings, {"HF_HOME": str(tmp_path)}, lambda: None)

    assert outcome.failure is not None
    assert outcome.failure.reason is ErrandReason.MODEL_NOT_FOUND
