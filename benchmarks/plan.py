"""Compares the plan's forecast with the memory and time that jobs take, before and after one calibration run.

    python -m benchmarks.plan [--model DIR] [--steps 40] [--settings 6] [--threads 2]

A complete service with a worker on the CPU trains one job for calibration, and then one for each setting. Before each job, a dry
run returns the forecast; the jobs are the only source of corrections. Without --model, the jobs train a tiny Qwen2, and
their duration is mostly overhead. The table shows peak memory and duration; the last lines are the worst errors and JSON.
"""

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.data import WORDS
from tests.e2e.service import Service
from tests.tiny_model import make_tiny_qwen2

GIB = 2**30
NAME = "planned"
CALIBRATION = "calibration"
_SECONDS = 3600
"""Limit for one job."""


def main() -> None:
    """Train all settings; print the table."""
    options = arguments()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}; {options.model or 'a tiny Qwen2'}, {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory(prefix="stepline-plan-") as folder:
        place = Path(folder)
        settings = {"OMP_NUM_THREADS": str(options.threads), "STEPLINE_TOKEN_CACHE_BYTES": "0"}
        service = Service(place / "service", **settings)
        target = service.models / NAME
        if options.model is None:
            make_tiny_qwen2(target)
        else:
            target.symlink_to(options.model.resolve())
        with service:
            wait_for_facts(service)
            report(list(measure(service, options)))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model directory; by default, a tiny model")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--settings", type=int, default=6, help="how many of the six settings")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def settings_of(steps: int) -> dict[str, dict[str, Any]]:
    """Return, by name, how each setting differs from the calibration job."""
    return {
        "twice the steps": {"training": {"max_steps": 2 * steps}},
        "rank 8, length 128": {"lora": {"rank": 8}, "training": {"max_length": 128}},
        "length 512": {"training": {"max_length": 512}},
        "recomputed": {"engine": {"activation_checkpointing": True}},
        "budget 256": {"engine": {"token_budget": 256}},
        "updates of 8": {"training": {"gradient_accumulation_steps": 4}},
    }


def spec_of(dataset: str, steps: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a job with these changes."""
    training = {
        "per_device_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_steps": steps,
        "max_length": 256,
    }
    spec: dict[str, Any] = {
        "model": NAME,
        "dataset": {"train": dataset, "eval_size": 8},
        "lora": {"rank": 64},
    }
    return spec | changes | {"training": training | changes.get("training", {})}


def rows(count: int = 400) -> str:
    """Return JSONL rows of 15 to 90 random words."""
    chance = random.Random(1)  # noqa: S311  # not for security
    lines = []
    for number in range(count):
        words = [chance.choice(WORDS) for _ in range(chance.randint(15, 90))]
        cut = len(words) // 3
        row = {
            "instruction": f"{number} {' '.join(words[:cut])}",
            "output": " ".join(words[cut:]),
        }
        lines.append(json.dumps(row))
    return "\n".join(lines)


def wait_for_facts(service: Service) -> None:
    """Wait until the worker has reported the model's dimensions."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        models = service.get("/v1/models")["data"]
        if any(model["sizes"] for model in models):
            return
        time.sleep(0.5)
    raise SystemExit("the worker has not reported the model's dimensions")


def measure(service: Service, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Train the calibration job and each setting; yield predicted and measured values."""
    dataset = service.upload_dataset(rows())
    chosen = list(settings_of(options.steps).items())[: options.settings]
    for name, changes in [(CALIBRATION, {}), *chosen]:
        spec = spec_of(dataset, options.steps, changes)
        planned = service.client.post("/v1/jobs?dry_run=true", json=spec).json()["forecast"]
        job = service.wait_for_end(service.post_job(**spec), _SECONDS)
        if job["status"] != "succeeded":
            raise SystemExit(f"{name}: {job['error']}")
        actual = service.get(f"/v1/jobs/{job['id']}/plan")["actual"]
        (worker,) = planned["workers"]
        row = {
            "setting": name,
            "peak": (worker["peak_memory_bytes"]["value"], actual["peak_memory_bytes"]),
            "seconds": (worker["seconds"]["value"], actual["seconds"]),
            "tokens": (planned["tokens"]["per_row"]["value"], actual["tokens_per_row"]),
        }
        print(line(row), flush=True)
        yield row


def line(row: dict[str, Any]) -> str:
    """Return a row as Markdown."""
    (peak, real_peak), (seconds, real_seconds) = row["peak"], row["seconds"]
    return (
        f"| {row['setting']} | {gib(peak)} | {gib(real_peak)} | {error(row['peak'])} "
        f"| {time_of(seconds)} | {time_of(real_seconds)} | {error(row['seconds'])} |"
    )


def gib(value: float | None) -> str:
    """Return bytes as text."""
    return "unknown" if value is None else f"{value / GIB:.2f} GiB"


def time_of(value: float | None) -> str:
    """Return seconds as text."""
    return "unknown" if value is None else f"{value:.1f} s"


def error(pair: tuple[float | None, float]) -> str:
    """Return the error of a prediction as text."""
    return "" if pair[0] is None else f"{pair[0] / pair[1] - 1:+.1%}"


def report(found: list[dict[str, Any]]) -> None:
    """Print the worst errors after calibration, and JSON."""
    worst = {}
    for figure in ("peak", "seconds"):
        errors = [
            row[figure][0] / row[figure][1] - 1
            for row in found
            if row["setting"] != CALIBRATION and row[figure][0] is not None
        ]
        worst[figure] = round(max(errors, key=abs, default=0.0), 4)
        print(f"worst error of {figure} after calibration: {worst[figure]:+.1%}")
    print(json.dumps({"rows": found, "worst": worst}))


if __name__ == "__main__":
    main()
