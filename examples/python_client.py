"""Train a model with Stepline's Python client: upload rows, submit a job, follow it, and download the adapter.

    python examples/python_client.py http://127.0.0.1:8000 MODEL ROWS_FILE OUT_DIR [SETTINGS]

SETTINGS is a JSON object with other fields of the job, such as {"training": {"max_steps": 100}}. Needs the package `stepline`:
`pip install .` in a checkout installs it without the server and torch.
"""

import json
import sys
from pathlib import Path
from typing import Any

from stepline import Client, SteplineError
from stepline.client.updates import Happened, Metrics, Update


def show(update: Update) -> None:
    """Print the job's messages, and the newest loss."""
    if isinstance(update, Happened):
        print(update.event.message)
    elif isinstance(update, Metrics) and "loss" in update.series:
        loss = update.series["loss"]
        print(f"step {loss.step[-1]}: loss {loss.value[-1]}")


def main(url: str, model: str, rows: Path, out_dir: Path, settings: dict[str, Any]) -> int:
    """Train the model on the rows; return the exit status."""
    with Client(url) as client:
        dataset = client.datasets.upload(rows)
        source = settings.get("dataset", {}) | {"train": dataset.id}
        job = client.submit(settings | {"model": model, "dataset": source})
        print(f"{job.id} trains on {dataset.id}", flush=True)
        done = job.watch(show)
        if done.status != "succeeded":
            print(f"The job is {done.status}.", file=sys.stderr)
            return 1
        print(job.report())
        out_dir.mkdir(parents=True, exist_ok=True)
        print(job.download(out_dir / "adapter.zip"))
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__)
    given = json.loads(sys.argv[5]) if len(sys.argv) == 6 else {}
    try:
        sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), given))
    except SteplineError as error:
        sys.exit(str(error))
