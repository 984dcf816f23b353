import os
import subprocess
import sys

from contracts.attempt import WorkerInfo
from contracts.protocol.wire import TASK_NAME
from worker.celery_app import create_app
from worker.settings import Settings


def _run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"]} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_worker_does_not_import_torch_or_the_hub_libraries() -> None:
    done = _run("import sys, worker.celery_app; print(sorted(sys.modules))")

    assert done.returncode == 0, done.stderr
    for heavy in ("torch", "transformers", "peft", "datasets", "huggingface_hub", "sqlalchemy"):
        assert f"'{heavy}'" not in done.stdout


def test_a_worker_without_a_token_does_not_start() -> None:
    done = _run("from worker.celery_app import main; main()")

    assert done.returncode == 1
    assert "STEPLINE_WORKER_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_registers_one_task_and_accepts_only_json() -> None:
    app = create_app(Settings(), WorkerInfo(worker_id="w"))

    assert [name for name in app.tasks if not name.startswith("celery.")] == [TASK_NAME]
    assert app.conf.accept_content == ["json"]
