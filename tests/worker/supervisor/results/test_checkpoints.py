import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Note
from contracts.checkpoint import CheckpointReply
from contracts.protocol.error_codes import CODES_HEADER, CODES_VERSION
from contracts.run.run_dir import RunDir
from tests.worker.supervisor.builders import files_of, make_checkpoint, make_claim, place
from tests.worker.supervisor.scripted_server import Answer, Request, ScriptedServer, error_answer
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.results.checkpoints import Uploads
from worker.supervisor.server.client import Server

STORED = Answer(body=b'{"missing": [], "stored": true}')


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return place(RunDir(tmp_path / "att_1"), train_revision="c0ffee")


def missing_files(*digests: str) -> Answer:
    reply = CheckpointReply(missing=list(digests), stored=False)
    return Answer(body=reply.model_dump_json().encode())


def finish(
    peer: ScriptedServer, run_dir: RunDir, give_up: Callable[[], bool] = lambda: False
) -> list[Note]:
    """Upload the existing checkpoints and return the reported notes."""
    notes = Notes()
    uploads = Uploads(make_claim(), lambda: Server(peer.url, "", 0, 0), run_dir, notes)
    uploads.finish(lambda: None, give_up)
    return notes.pending()


def calls(peer: ScriptedServer) -> list[str]:
    return [f"{request.method} {request.path.rpartition('/')[2]}" for request in peer.requests]


def offered(request: Request) -> Any:
    return json.loads(request.body)


def test_only_the_missing_files_of_the_newest_checkpoint_are_uploaded(run_dir: RunDir) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    newest = make_checkpoint(run_dir.checkpoints, 10, eval_loss=2.5)
    tensors, state, manifest = files_of(newest)
    answers = (missing_files(tensors.sha256, manifest.sha256), Answer(201), Answer(201), STORED)
    with ScriptedServer(*answers) as peer:
        assert finish(peer, run_dir) == []

    assert calls(peer) == [
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        f"PUT {manifest.sha256}",
        "POST checkpoints",
    ]
    offer = offered(peer.requests[0])
    assert (offer["step"], offer["eval_loss"]) == (10, 2.5)
    assert offer["origin"]["train_revision"] == "c0ffee"
    assert [file["sha256"] for file in offer["files"]] == [
        tensors.sha256,
        state.sha256,
        manifest.sha256,
    ]
    assert peer.requests[1].body == (newest / "tensors.safetensors").read_bytes()
    assert list(run_dir.outbox.iterdir()) == []


@pytest.mark.parametrize("failure", [error_answer(507, "storage_full"), Answer(cut=True)])
def test_an_upload_failure_is_reported_once_and_retried(run_dir: RunDir, failure: Answer) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(failure, failure, STORED) as peer:
        notes = finish(peer, run_dir)

    assert len(peer.requests) == 3
    assert [(note.code, note.level, note.figures["step"]) for note in notes] == [
        ("checkpoint_delayed", "warning", 5)
    ]


@pytest.mark.parametrize("code", ["checkpoint_not_recorded", "checkpoint_untold"])
def test_a_checkpoint_whose_record_has_not_arrived_is_retried_without_a_note(
    run_dir: RunDir, code: str
) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(error_answer(409, code, Retry_After="1"), STORED) as peer:
        assert finish(peer, run_dir) == []

    assert len(peer.requests) == 2
    versions = {name.lower(): value for name, value in peer.requests[0].headers.items()}
    assert versions[CODES_HEADER.lower()] == CODES_VERSION, (
        "without this header, the server sends the former code"
    )


def test_a_rejected_checkpoint_stays_on_disk_and_is_reported(run_dir: RunDir) -> None:
    newest = make_checkpoint(run_dir.checkpoints, 5)
    answers = (missing_files(files_of(newest)[0].sha256), error_answer(413, "body_too_large"))
    with ScriptedServer(*answers) as peer:
        [note] = finish(peer, run_dir)

    assert (note.code, note.figures["step"]) == ("checkpoint_not_uploaded", 5)
    assert "body_too_large" in str(note.figures["reason"])
    assert newest.is_dir()


def test_a_checkpoint_is_offered_again_if_the_server_has_deleted_its_files(run_dir: RunDir) -> None:
    tensors, state, _ = files_of(make_checkpoint(run_dir.checkpoints, 5))
    answers = (
        missing_files(tensors.sha256, state.sha256),
        Answer(201),
        error_answer(404, "checkpoint_file_not_found"),
        missing_files(tensors.sha256),
        Answer(201),
        STORED,
    )
    with ScriptedServer(*answers) as peer:
        [note] = finish(peer, run_dir)

    assert note.code == "checkpoint_delayed"
    assert calls(peer) == [
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        f"PUT {state.sha256}",
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        "POST checkpoints",
    ]


def test_a_superseded_attempt_stops_uploading_checkpoints(run_dir: RunDir) -> None:
    newest = make_checkpoint(run_dir.checkpoints, 5)
    answers = (missing_files(files_of(newest)[0].sha256), error_answer(409, "attempt_superseded"))
    with ScriptedServer(*answers) as peer:
        assert finish(peer, run_dir) == []

    assert len(peer.requests) == 2


def test_uploads_to_an_unavailable_server_end_when_the_caller_gives_up(run_dir: RunDir) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(error_answer(503, "database_unavailable")) as peer:
        finish(peer, run_dir, give_up=lambda: len(peer.requests) >= 2)

    assert len(peer.requests) >= 2


def test_a_checkpoint_pruned_during_its_upload_arrives_complete(run_dir: RunDir) -> None:
    path = make_checkpoint(run_dir.checkpoints, 5)
    tensors = path / "tensors.safetensors"
    content = tensors.read_bytes()
    notes = Notes()
    with ScriptedServer(missing_files(files_of(path)[0].sha256), Answer(201), STORED) as peer:

        class Pruning(Server):
            """Prunes the checkpoint between the offer and the upload, as the training program might."""

            def send_checkpoint_file(self, *arguments: Any) -> None:
                tensors.unlink(missing_ok=True)
                super().send_checkpoint_file(*arguments)

        uploads = Uploads(make_claim(), lambda: Pruning(peer.url, "", 0, 0), run_dir, notes)
        uploads.finish(lambda: None, lambda: False)

    assert peer.requests[1].body == content


def test_during_training_the_best_checkpoint_is_uploaded_after_the_newest(run_dir: RunDir) -> None:
    for step, loss in ((5, 1.0), (10, 3.0), (15, 2.0)):
        make_checkpoint(run_dir.checkpoints, step, loss)
    with ScriptedServer(STORED) as peer:
        uploads = Uploads(make_claim(), lambda: Server(peer.url, "", 0, 0), run_dir, Notes())
        uploads.start()
        while len(peer.requests) < 2:
            assert uploads._thread.is_alive()
            uploads._thread.join(0.02)
        uploads.finish(lambda: None, lambda: False)

    assert [offered(request)["step"] for request in peer.requests] == [15, 5]
