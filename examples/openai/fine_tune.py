"""Fine-tune a model with OpenAI's Python client. Only the address, the model's name and the download of the adapter are ours.

    export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=any
    python examples/openai/fine_tune.py MODEL ROWS_FILE OUT_DIR

Needs the package `openai`.
"""

import sys
import time
from pathlib import Path

from openai import OpenAI

FINAL = ("succeeded", "failed", "cancelled")


def main(model: str, rows: Path, out_dir: Path) -> int:
    """Upload rows, fine-tune the model, and download the metrics and the adapter; return the exit status."""
    client = OpenAI()  # reads the address and the key from the environment
    file = client.files.create(file=rows, purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=file.id,
        suffix="example",
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 4}},
        },
    )
    print(f"Created {job.id} with {file.id}")

    shown: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(
            job.id
        )  # read before the events, so that none is missed
        for event in reversed(list(client.fine_tuning.jobs.list_events(job.id, limit=100))):
            if event.id not in shown:
                print(event.message)
            shown.add(event.id)
        if job.status in FINAL:
            break
        time.sleep(1)
    if job.status != "succeeded":
        print(job.status, job.error, file=sys.stderr)
        return 1

    out_dir.mkdir(parents=True, exist_ok=True)
    client.files.content(job.result_files[0]).write_to_file(out_dir / "results.csv")
    # OpenAI keeps the weights; Stepline returns them. `adapter_file` is a field that its API adds to the job.
    adapter_file = str(job.to_dict()["adapter_file"])
    client.files.content(adapter_file).write_to_file(out_dir / "adapter.zip")
    print(f"{job.fine_tuned_model} is in {out_dir / 'adapter.zip'}.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
