import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.attempt import Note
from contracts.checkpoint import CheckpointReply
from contracts.error_codes import CODES_HEADER, CODES_VERSION
from contracts.run_dir import RunDir
from tests.worker.supervisor.builders import files_of, make_checkpoint, make_claim, place
from tests.worker.supervisor.scripted_server import Answer, Asked, ScriptedServer, refusal
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.results.checkpoints import Uploads
from worker.supervisor.server.client import Server

STORED = Answer(body=b'{"missing": [], "stored": true}')


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return place(RunDir(tmp_path / "att_1"), train_revision="c0ffee")


def lacks(*digests: str) -> Answer:
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


def asked(peer: ScriptedServer) -> list[str]:
    return [f"{a.method} {a.path.rpartition('/')[2]}" for a in peer.asked]


def offered(request: Asked) -> Any:
    return json.loads(request.body)


def test_only_what_is_missing_of_the_newest_checkpoint_is_sent(run_dir: RunDir) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    newest = make_checkpoint(run_dir.checkpoints, 10, eval_loss=2.5)
    tensors, state, manifest = files_of(newest)
    answers = (lacks(tensors.sha256, manifest.sha256), Answer(201), Answer(201), STORED)
    with ScriptedServer(*answers) as peer:
        assert finish(peer, run_dir) == []

    assert asked(peer) == [
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        f"PUT {manifest.sha256}",
        "POST checkpoints",
    ]
    offer = offered(peer.asked[0])
    assert (offer["step"], offer["eval_loss"]) == (10, 2.5)
    assert offer["origin"]["train_revision"] == "c0ffee"
    assert [file["sha256"] for file in offer["files"]] == [
        tensors.sha256,
        state.sha256,
        manifest.sha256,
    ]
    assert peer.asked[1].body == (newest / "tensors.safetensors").read_bytes()
    assert list(run_dir.outbox.iterdir()) == []


@pytest.mark.parametrize("trouble", [refusal(507, "storage_full"), Answer(cut=True)])
def test_trouble_is_told_once_and_tried_again(run_dir: RunDir, trouble: Answer) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(trouble, trouble, STORED) as peer:
        told = finish(peer, run_dir)

    assert len(peer.asked) == 3
    assert [(note.code, note.level, note.figures["step"]) for note in told] == [
        ("checkpoint_delayed", "warning", 5)
    ]


@pytest.mark.parametrize("code", ["checkpoint_not_recorded", "checkpoint_untold"])
def test_a_checkpoint_whose_record_has_not_arrived_waits_without_a_word(
    run_dir: RunDir, code: str
) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(refusal(409, code, Retry_After="1"), STORED) as peer:
        assert finish(peer, run_dir) == []

    assert len(peer.asked) == 2
    versions = {name.lower(): value for name, value in peer.asked[0].headers.items()}
    assert versions[CODES_HEADER.lower()] == CODES_VERSION, "else the server sends the former code"


def test_a_checkpoint_that_is_refused_stays_here_and_people_are_told(run_dir: RunDir) -> None:
    newest = make_checkpoint(run_dir.checkpoints, 5)
    answers = (lacks(files_of(newest)[0].sha256), refusal(413, "body_too_large"))
    with ScriptedServer(*answers) as peer:
        [note] = finish(peer, run_dir)

    assert (note.code, note.figures["step"]) == ("checkpoint_not_uploaded", 5)
    assert "body_too_large" in str(note.figures["reason"])
    assert newest.is_dir()


def test_a_checkpoint_that_the_server_has_let_go_of_is_offered_again(run_dir: RunDir) -> None:
    tensors, state, _ = files_of(make_checkpoint(run_dir.checkpoints, 5))
    answers = (
        lacks(tensors.sha256, state.sha256),
        Answer(201),
        refusal(404, "checkpoint_file_not_found"),
        lacks(tensors.sha256),
        Answer(201),
        STORED,
    )
    with ScriptedServer(*answers) as peer:
        [note] = finish(peer, run_dir)

    assert note.code == "checkpoint_delayed"
    assert asked(peer) == [
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        f"PUT {state.sha256}",
        "POST checkpoints",
        f"PUT {tensors.sha256}",
        "POST checkpoints",
    ]


def test_a_superseded_attempt_sends_nothing_more(run_dir: RunDir) -> None:
    newest = make_checkpoint(run_dir.checkpoints, 5)
    answers = (lacks(files_of(newest)[0].sha256), refusal(409, "attempt_superseded"))
    with ScriptedServer(*answers) as peer:
        assert finish(peer, run_dir) == []

    assert len(peer.asked) == 2


def test_a_server_that_stays_away_holds_nobody_for_longer_than_they_wait(run_dir: RunDir) -> None:
    make_checkpoint(run_dir.checkpoints, 5)
    with ScriptedServer(refusal(503, "away")) as peer:
        finish(peer, run_dir, give_up=lambda: len(peer.asked) >= 2)

    assert len(peer.asked) >= 2


def test_a_checkpoint_pruned_while_it_travels_arrives_whole(run_dir: RunDir) -> None:
    path = make_checkpoint(run_dir.checkpoints, 5)
    tensors = path / "tensors.safetensors"
    content = tensors.read_bytes()
    notes = Notes()
    with ScriptedServer(lacks(files_of(path)[0].sha256), Answer(201), STORED) as peer:

        class Pruning(Server):
            """Prunes between the offer and the upload, as the training program might."""

            def send_checkpoint_file(self, *arguments: Any) -> None:
                tensors.unlink(missing_ok=True)
                super().send_checkpoint_file(*arguments)

        uploads = Uploads(make_claim(), lambda: Pruning(peer.url, "", 0, 0), run_dir, notes)
        uploads.finish(lambda: None, lambda: False)

    assert peer.asked[1].body == content


def test_while_training_the_best_one_follows_the_newest(run_dir: RunDir) -> None:
    for step, loss in ((5, 1.0), (10, 3.0), (15, 2.0)):
        make_checkpoint(run_dir.checkpoints, step, loss)
    with ScriptedServer(STORED) as peer:
        uploads = Uploads(make_claim(), lambda: Server(peer.url, "", 0, 0), run_dir, Notes())
        uploads.start()
        while len(peer.asked) < 2:
            assert uploads._thread.is_alive()
            uploads._thread.join(0.02)
        uploads.finish(lambda: None, lambda: False)

    assert [offered(request)["step"] for request in peer.asked] == [15, 5]
