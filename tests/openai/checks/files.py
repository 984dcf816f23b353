"""Checks of files and uploads."""

import csv
import hashlib
import inspect
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openai

from tests.openai.checks.case import STEPS, Case, check, error_of, poll, text_of

LARGE_BYTES = 65 << 20
"""More than one part: the client splits a file into parts of 64 MiB."""


@check()
def files_are_listed_and_read_and_deleted(case: Case) -> None:
    files = case.client.files
    first, second = case.upload(), case.upload()
    pages = {"limit": 1} if "limit" in inspect.signature(files.list).parameters else {}

    listed = [each.id for each in files.list(**pages)]

    assert listed.index(second.id) < listed.index(first.id)
    assert len(set(listed)) == len(listed)
    assert (first.filename, first.purpose) == ("train.jsonl", "fine-tune")
    assert first.bytes == len(case.rows)
    assert len(text_of(case.client, first.id).splitlines()) == len(case.rows.splitlines())
    for file in (first, second):
        assert files.delete(file.id).deleted is True
        error = error_of(lambda file_id=file.id: files.retrieve(file_id))  # type: ignore[misc]
        assert isinstance(error, openai.NotFoundError)


@check()
def the_result_file_has_a_row_for_each_step(case: Case) -> None:
    [results] = case.done.result_files

    text = text_of(case.client, results)

    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, STEPS + 1)]
    assert list(rows[0])[:3] == ["step", "train_loss", "train_accuracy"]
    assert float(rows[-1]["valid_loss"]) > 0
    assert case.client.files.retrieve(results).bytes == len(text)


@check()
def the_adapter_is_downloaded(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "adapter.zip"
        content = case.client.files.content(case.done.adapter_file)
        write = getattr(content, "write_to_file", None) or content.stream_to_file
        write(target)
        with zipfile.ZipFile(target) as adapter:
            assert adapter.testzip() is None
            assert "adapter_model.safetensors" in adapter.namelist()


@check("files.with_streaming_response")
def the_adapter_is_downloaded_as_a_stream(case: Case) -> None:
    streaming = case.client.files.with_streaming_response

    with streaming.content(case.done.adapter_file) as response:
        size = sum(len(block) for block in response.iter_bytes())

    assert size == case.client.files.retrieve(case.done.adapter_file).bytes


@check("uploads.upload_file_chunked")
def a_small_file_is_uploaded_in_parts(case: Case) -> None:
    upload = case.client.uploads.upload_file_chunked(
        file=case.rows,
        filename="parts.jsonl",
        bytes=len(case.rows),
        mime_type="application/jsonl",
        purpose="fine-tune",
        part_size=len(case.rows) // 2,
        md5=hashlib.md5(case.rows, usedforsecurity=False).hexdigest(),
    )

    assert (upload.status, upload.file.filename) == ("completed", "parts.jsonl")
    assert case.client.files.retrieve(upload.file.id).bytes == len(case.rows)
    assert case.client.files.delete(upload.file.id).deleted is True


@check("uploads.create", "uploads.cancel")
def a_cancelled_upload_cannot_be_completed(case: Case) -> None:
    uploads = case.client.uploads
    upload = uploads.create(
        bytes=5, filename="a.jsonl", mime_type="application/jsonl", purpose="fine-tune"
    )
    part = uploads.parts.create(upload.id, data=b"12345")

    assert (upload.status, part.upload_id) == ("pending", upload.id)
    assert uploads.cancel(upload.id).status == "cancelled"
    error = error_of(lambda: uploads.complete(upload.id, part_ids=[part.id]))
    assert isinstance(error, openai.ConflictError)
    assert error.code == "upload_ended"


@check("uploads.upload_file_chunked", is_slow=True)
def a_file_of_more_than_64_mib_is_uploaded_in_parts_and_used(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl"
        with path.open("wb") as file:
            file.writelines(_large_rows())
        size = path.stat().st_size
        upload = case.client.uploads.upload_file_chunked(
            file=path, mime_type="application/jsonl", purpose="fine-tune"
        )
    stored = case.client.files.wait_for_processing(upload.file.id)
    job = case.create(stored.id, stepline={"queue": "without-worker"})

    assert upload.status == "completed"
    assert (stored.status, stored.bytes, stored.filename) == ("processed", size, "large.jsonl")
    assert job.training_file == stored.id
    case.client.fine_tuning.jobs.cancel(job.id)
    assert poll(case.client, job.id).status == "cancelled"
    assert case.client.files.delete(stored.id).deleted is True


def _large_rows() -> Iterator[bytes]:
    size = 0
    while size < LARGE_BYTES:
        row = {"instruction": f"Count from {size}.", "output": "apple " * 2_000}
        line = json.dumps(row).encode() + b"\n"
        size += len(line)
        yield line
