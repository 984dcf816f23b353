"""Checkpoints of fine-tuning jobs: which ones have a file with their adapter, and its download."""

import io
import json
import os
import struct
import time
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from app.storage.data_dir import Storage
from app.sweep.leftovers import AGE_SECONDS, remove_leftovers
from contracts.attempt import Claim
from contracts.base import utc_now
from contracts.record import CheckpointRecord
from tests.app.openai.test_events import path_of
from tests.app.openai.test_files import code_of
from tests.app.player import Player

CONFIG = {"peft_type": "LORA", "r": 8}
STATE = json.dumps({"step": 3, "adapter_config": CONFIG}).encode()


def tensors(**found: bytes) -> bytes:
    """Return a safetensors file of float32 vectors."""
    header, offset = {}, 0
    for name, content in found.items():
        end = offset + len(content)
        shape = [len(content) // 4]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(found.values())


TENSORS = tensors(
    **{
        "optimizer.0.exp_avg": b"o" * 8,
        "adapter.layers.0.lora_A.default.weight": b"a" * 8,
        "step_nll": b"n" * 4,
        "adapter.layers.0.lora_B.default.weight": b"b" * 12,
    }
)


def read(content: bytes) -> tuple[Any, dict[str, bytes]]:
    """Return the configuration in an archive, and the tensors by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config, weights = (archive.read(name) for name in archive.namelist())
    (length,) = struct.unpack("<Q", weights[:8])
    header, body = json.loads(weights[8 : 8 + length]), weights[8 + length :]
    assert header.pop("__metadata__") == {"format": "pt"}
    return json.loads(config), {
        name: body[slice(*entry["data_offsets"])] for name, entry in header.items()
    }


def save(
    player: Player, claim: Claim, step: int, files: Mapping[str, Any] | None = None, seq: int = 1
) -> None:
    """Record a checkpoint and, if there are files, store it."""
    record = CheckpointRecord(seq=seq, at=utc_now(), step=step, name=f"s{step}", bytes=9)
    player.sync(claim, record)
    if files is not None:
        for content in files.values():
            player.offer(claim, step, **files)
            player.put_file(claim, content)
        assert player.offer(claim, step, **files).json()["stored"]


def test_the_adapter_of_a_stored_checkpoint_can_be_downloaded(player: Player, app: FastAPI) -> None:
    job_id = player.submit(name="mine")
    claim = player.claim()
    save(player, claim, 3, {"tensors.safetensors": TENSORS, "state.json": STATE})
    save(player, claim, 6, seq=2)

    newer, stored = player.get(f"{path_of(job_id)}/checkpoints")["data"]
    assert (newer["stored"], newer["adapter_file"]) == (False, None)
    name = f"ft:tiny-qwen2:stepline:mine:{job_id[4:12]}:ckpt-step-3"
    assert stored["fine_tuned_model_checkpoint"] == name
    file = f"/v1/files/{stored['adapter_file']}"
    content = player.client.get(f"{file}/content")
    assert read(content.content) == (
        CONFIG,
        {"layers.0.lora_A.weight": b"a" * 8, "layers.0.lora_B.weight": b"b" * 12},
    )
    assert content.headers["content-type"] == "application/zip"
    shown = player.get(file)
    assert (shown["bytes"], shown["filename"]) == (len(content.content), "adapter-step-3.zip")
    assert shown["purpose"] == "fine-tune-results"

    past = time.time() - 2 * AGE_SECONDS
    storage: Storage = app.state.storage
    for path in (storage.root / "checkpoints").rglob("*"):
        os.utime(path, (past, past))
    [removed] = remove_leftovers(app.state.database, storage)
    assert removed.endswith("-adapter.zip")
    part = player.client.get(
        f"{file}/content",
        headers={"Range": "bytes=10-29", "If-Range": content.headers["etag"]},
    )
    assert (part.status_code, part.content) == (206, content.content[10:30])

    assert code_of(player.client.delete(file))[:2] == (409, "file_of_job")
    player.succeed(claim, last_seq=2)
    player.client.delete(f"/v1/jobs/{job_id}").raise_for_status()
    assert code_of(player.client.get(f"{file}/content"))[:2] == (404, "file_not_found")
    assert [path for path in (storage.root / "checkpoints").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("eval_loss", "is_last"), [(1.6, True), (1.2, False)])
def test_the_checkpoint_at_the_last_step_has_the_file_of_the_job_unless_a_better_adapter_was_restored(
    player: Player, eval_loss: float, is_last: bool
) -> None:
    job_id = player.submit()
    claim = player.claim()
    save(player, claim, 5)
    save(player, claim, 10, seq=2)
    evaluations = [{"step": 5, "loss": 1.2}, {"step": 10, "loss": 1.6}]
    player.succeed(claim, last_seq=2, eval_loss=eval_loss, evaluations=evaluations)

    last, earlier = player.get(f"{path_of(job_id)}/checkpoints")["data"]

    file = f"file-adapter{job_id[4:]}"
    assert (last["stored"], last["adapter_file"]) == (False, file if is_last else None)
    assert earlier["adapter_file"] is None
    player.client.delete(
        f"/v1/models/{player.get(path_of(job_id))['fine_tuned_model']}"
    ).raise_for_status()
    last, _ = player.get(f"{path_of(job_id)}/checkpoints")["data"]
    assert last["adapter_file"] is None, "the adapter was deleted"


def test_a_checkpoint_on_its_workers_disk_has_no_download(player: Player) -> None:
    job_id = player.submit()
    save(player, player.claim(), 3)
    [checkpoint] = player.get(f"{path_of(job_id)}/checkpoints")["data"]

    file = f"/v1/files/file-checkpoint{checkpoint['id'].removeprefix('ftckpt_')}"
    for path in (file, f"{file}/content"):
        assert code_of(player.client.get(path))[:2] == (409, "checkpoint_not_stored")


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (TENSORS, b"{}"),
        (TENSORS, b"not JSON"),
        (tensors(step_nll=b"n" * 4), STATE),
        (b"\xff" * 20, STATE),
        (struct.pack("<Q", 4) + b"[42]", STATE),
        (TENSORS.replace(b'"data_offsets": [8, ', b'"data_offsets": [-8,'), STATE),
    ],
)
def test_a_checkpoint_without_a_readable_adapter_says_so(
    player: Player, content: bytes, state: bytes
) -> None:
    job_id = player.submit()
    save(player, player.claim(), 3, {"tensors.safetensors": content, "state.json": state})
    [checkpoint] = player.get(f"{path_of(job_id)}/checkpoints")["data"]

    rejected = player.client.get(f"/v1/files/{checkpoint['adapter_file']}/content")

    assert code_of(rejected)[:2] == (409, "checkpoint_without_adapter")


def test_unknown_files_of_jobs_are_not_found(player: Player) -> None:
    for kind in ("results", "adapter", "checkpoint"):
        for digits in ("0" * 24, "\u00e9"):
            file = f"/v1/files/file-{kind}{digits}"
            for response in (
                player.client.get(file),
                player.client.get(f"{file}/content"),
                player.client.delete(file),
            ):
                assert code_of(response)[:2] == (404, "file_not_found")
