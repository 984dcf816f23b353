"""Every figure of a real finished job, recomputed with plain transformers and peft."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.client import Client
from examples.recompute import CannotCompute, Line, main, parse_arguments
from tests.e2e.service import Service
from tests.tiny_model import make_rows, make_tiny_qwen2, write_rows

# Unmodified peft 0.21 uses the deprecated name of a transformers 5 property.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

ROOT = Path(__file__).parent.parent.parent
SPEC: dict[str, Any] = {
    "model": "tiny-qwen2",
    "dataset": {"eval_size": 12},
    "lora": {"rank": 8, "alpha": 16},
    "quantization": {"compute_dtype": "float32"},
    "training": {
        "per_device_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "epochs": 2,
        "max_steps": 8,
        "max_length": 40,
        "warmup_steps": 0.2,
        "weight_decay": 0.01,
        "seed": 7,
    },
}


@dataclass(frozen=True)
class Finished:
    """A finished job and its inputs."""

    server: str
    job: str
    model: Path
    rows: Path
    mixed: str
    """Id of a finished job on several datasets."""
    parts: list[Path]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("recompute")
    rows: list[Any] = [
        *make_rows(50),
        {"prompt": "four apples", "completion": "apple 🙂"},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "一"},
                {"role": "assistant", "content": "二"},
                {"role": "user", "content": "three"},
                {"role": "assistant", "content": "four "},
            ]
        },
        {
            "messages": [
                {"role": "assistant", "content": "apple one"},
                {"role": "user", "content": "two"},
                {"role": "assistant", "content": "three"},
            ]
        },
        {"instruction": "apple " * 60, "output": "This answer is cut off."},
    ]
    with Service(folder / "service") as service:
        model = make_tiny_qwen2(service.models / "tiny-qwen2")
        client, file = Client(service.url), write_rows(folder / "rows.jsonl", rows)
        spec = SPEC | {"dataset": SPEC["dataset"] | {"train": client.upload(file)}}
        job = client.submit(spec)
        state = service.wait_for_end(job, 120)
        assert state["status"] == "succeeded", service.logs()
        some = [
            {"prompt": f"{n}" + " apple" * 60 * (n % 7 == 0), "completion": f"{n + 1}"}
            for n in range(60)
        ]
        parts = [write_rows(folder / f"{n}.jsonl", some[n::3]) for n in range(3)]
        train = [
            {"dataset": client.upload(part), "weight": weight}
            for part, weight in zip(parts, (2, 0.5, 1.3), strict=True)
        ]
        mixed = client.submit(SPEC | {"dataset": {"train": train, "eval_size": 7}})
        assert service.wait_for_end(mixed, 120)["status"] == "succeeded", service.logs()
        yield Finished(service.url, job, model, file, mixed, parts)


def test_every_figure_of_a_finished_job_equals_its_recomputed_value(
    finished: Finished,
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-I", str(ROOT / "examples" / "recompute.py")),
            *(finished.server, finished.job, str(finished.model), str(finished.rows)),
            *("--steps", "8", "--device", "cpu"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "all within tolerance"
    table = {line[:22].strip(): line[22:].split() for line in lines[2:-1]}
    assert list(table) == [
        "training rows",
        "evaluation rows",
        "base eval loss",
        "trainable parameters",
        *(f"loss of step {step}" for step in range(1, 9)),
        "eval loss",
        "perplexity",
    ]
    summary = Client(finished.server).summary(finished.job)
    assert summary["dropped_rows"] > 0
    assert float(table["eval loss"][0]) == pytest.approx(summary["eval_loss"], rel=1e-6)
    assert all(abs(float(row[2])) < 1e-4 for name, row in table.items() if "loss" in name)


def test_the_figures_of_a_job_on_several_datasets_equal_their_recomputed_values(
    finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [finished.server, finished.mixed, str(finished.model)]
    with pytest.raises(CannotCompute, match="trains on 3 datasets"):
        main(parse_arguments([*arguments, str(finished.rows)]))

    files = [str(path) for path in finished.parts]
    assert main(parse_arguments([*arguments, *files, "--steps", "8", "--device", "cpu"])) == 0

    assert "loss of step 8" in capsys.readouterr().out


def test_figures_of_another_model_exceed_the_tolerance(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_tiny_qwen2(tmp_path / "other", seed=1)

    assert recompute(finished, other, finished.rows) == 1

    assert "base eval loss" in capsys.readouterr().out.partition("BEYOND")[0]


def test_rows_other_than_the_jobs_dataset_are_rejected(finished: Finished, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", make_rows(50))

    with pytest.raises(CannotCompute, match="is not the job's dataset ds_"):
        recompute(finished, finished.model, rows)


def test_a_missing_job_is_reported(finished: Finished) -> None:
    arguments = [finished.server, "job_0", str(finished.model), str(finished.rows)]

    with pytest.raises(CannotCompute, match="responded with 404"):
        main(parse_arguments(arguments))


@pytest.mark.parametrize(
    ("reported", "recomputed", "is_within"),
    [
        (1.0, 1.0001, True),
        (1.0, 1.002, False),
        (float("nan"), 1.0, False),
        (float("inf"), float("inf"), True),
    ],
)
def test_a_figure_is_accepted_only_within_its_tolerance(
    reported: float, recomputed: float, is_within: bool
) -> None:
    assert Line("eval loss", reported, recomputed, 1e-3).is_within is is_within


def recompute(finished: Finished, model: Path, rows: Path) -> int:
    """Recompute in this process and without training, which saves several seconds."""
    arguments = [finished.server, finished.job, str(model), str(rows), "--steps", "0"]
    return main(parse_arguments([*arguments, "--device", "cpu"]))
