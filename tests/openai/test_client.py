"""OpenAI's newest client, unchanged, against a running service and a real training run."""

import csv
import io
import zipfile

import openai
import pytest
from openai import OpenAI

from tests.e2e.conftest import tiny_rows
from tests.e2e.service import Service

SMALL = {
    "training": {"max_length": 128},
    "lora": {"rank": 8, "alpha": 16},
    "dataset": {"eval_size": 8},
    "checkpoint": {"every_steps": 3},
}


def test_a_script_for_openai_fine_tunes_and_downloads_the_adapter(
    client: OpenAI, service: Service
) -> None:
    file = client.files.create(file=("train.jsonl", tiny_rows(40).encode()), purpose="fine-tune")
    assert client.files.wait_for_processing(file.id).status == "processed"
    job = client.fine_tuning.jobs.create(
        model="tiny-qwen2",
        training_file=file.id,
        suffix="my tiny",
        metadata={"team": "a"},
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 4}},
        },
        extra_body={"stepline": SMALL},
    )
    service.wait_for_end(job.id.replace("ftjob-", "job_"))

    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.fine_tuned_model == f"ft:tiny-qwen2:stepline:my-tiny:{job.id[6:14]}"
    assert (done.hyperparameters.n_epochs, done.hyperparameters.batch_size) == (1, 4)
    assert done.trained_tokens is not None
    assert done.finished_at is not None
    assert (done.error, done.metadata) == (None, {"team": "a"})

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=4))
    assert len({event.id for event in events}) == len(events)
    assert events[0].message == "The job has successfully completed"
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    steps = [event.data for event in events if event.type == "metrics"]
    assert [step["step"] for step in steps] == list(range(8, 0, -1))  # type: ignore[index]
    assert all(step["train_loss"] > 0 for step in steps)  # type: ignore[index]
    assert steps[0]["valid_loss"] > 0  # type: ignore[index]

    checkpoint, *earlier = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)
    assert (checkpoint.step_number, [each.step_number for each in earlier]) == (6, [3])
    assert checkpoint.fine_tuned_model_checkpoint == f"{done.fine_tuned_model}:ckpt-step-6"

    [results] = done.result_files
    text = client.files.content(results).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 9)]
    assert list(rows[0])[:3] == ["step", "train_loss", "train_accuracy"]
    assert float(rows[-1]["valid_loss"]) == steps[0]["valid_loss"]  # type: ignore[index]
    assert client.files.retrieve(results).bytes == len(text)

    adapter = client.files.content(done.adapter_file).read()  # type: ignore[attr-defined]
    assert done.fine_tuned_model in [model.id for model in client.models.list()]
    assert "adapter_model.safetensors" in zipfile.ZipFile(io.BytesIO(adapter)).namelist()
    assert client.models.delete(done.fine_tuned_model).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(done.fine_tuned_model)


def test_lists_are_read_to_the_end_and_jobs_can_be_paused_and_cancelled(
    client: OpenAI,
) -> None:
    file = client.files.create(file=("train.jsonl", tiny_rows(40).encode()), purpose="fine-tune")
    created = [
        client.fine_tuning.jobs.create(
            model="tiny-qwen2",
            training_file=file.id,
            metadata={"list": "yes"},
            extra_body={"stepline": {"queue": "without-worker"}},
        ).id
        for _ in range(5)
    ]

    listed = client.fine_tuning.jobs.list(limit=2, metadata={"list": "yes"})
    assert [job.id for job in listed] == created[::-1]
    assert file.id in [each.id for each in client.files.list(limit=1)]

    paused = client.fine_tuning.jobs.pause(created[0])
    resumed = client.fine_tuning.jobs.resume(created[0])
    cancelled = [client.fine_tuning.jobs.cancel(job).status for job in created]
    assert (paused.status, resumed.status) == ("paused", "queued")
    assert set(cancelled) == {"cancelled"}


def test_the_client_raises_errors_with_the_right_class_code_and_field(
    client: OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as rows:
        client.files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="fine-tune")
    assert (rows.value.code, rows.value.param) == ("dataset_invalid", "file")

    with pytest.raises(openai.BadRequestError) as unknown:
        client.fine_tuning.jobs.create(model="tiny-qwen2", training_file="file-0")
    assert (unknown.value.code, unknown.value.param) == ("file_not_found", "training_file")
    assert unknown.value.request_id

    with pytest.raises(openai.BadRequestError) as method:
        client.fine_tuning.jobs.create(
            model="tiny-qwen2", training_file="file-0", method={"type": "dpo"}
        )
    assert (method.value.code, method.value.param) == ("unsupported_method", "method.type")

    with pytest.raises(openai.NotFoundError) as job:
        client.fine_tuning.jobs.retrieve("ftjob-0")
    assert job.value.code == "job_not_found"

    file = client.files.create(file=("a.jsonl", tiny_rows(9).encode()), purpose="fine-tune")
    assert client.files.delete(file.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
