import json
import os
from pathlib import Path

import pytest

from contracts import model_facts
from tests.worker.supervisor.scripted_server import Answer, ScriptedServer, error_answer
from worker.supervisor.host.models import models_root
from worker.supervisor.host.models.models_root import ModelCatalog
from worker.supervisor.reporting.models import ModelReporter
from worker.supervisor.server.client import Server


def write_model(root: Path, name: str, positions: int) -> Path:
    directory = root / name
    directory.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "qwen2", "max_position_embeddings": positions}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def reported(peer: ScriptedServer) -> list[dict[str, int]]:
    """Return the longest context of each model, by name, for every report."""
    bodies = [json.loads(request.body) for request in peer.requests]
    assert {request.path for request in peer.requests} <= {"/internal/v1/workers/models"}
    assert all(body["worker_id"] == "w" for body in bodies)
    return [{m["name"]: m["max_length"] for m in body["models"]} for body in bodies]


def test_models_are_reported_once_and_again_when_the_directory_changes(tmp_path: Path) -> None:
    write_model(tmp_path, "Qwen/a", 100)
    reporter = ModelReporter(tmp_path, "w")
    with ScriptedServer(Answer(204)) as peer, Server(peer.url, "t", 0, 0) as server:
        for _ in range(2):
            reporter.report(server)
        assert reported(peer) == [{"Qwen/a": 100}]

        write_model(tmp_path, "b", 20_000)
        write_model(tmp_path, "Qwen/a", 4000)
        for _ in range(2):
            reporter.report(server)
        assert reported(peer)[1:] == [{"Qwen/a": 4000, "b": 20_000}]

        (tmp_path / "b" / "config.json").unlink()
        reporter.report(server)
        assert reported(peer)[2:] == [{"Qwen/a": 4000}]

        reporter.forget()
        reporter.report(server)
        assert reported(peer)[3:] == [{"Qwen/a": 4000}]


@pytest.mark.parametrize(
    "problem",
    [
        error_answer(404, "path_not_found"),
        error_answer(503, "database_unavailable"),
        Answer(cut=True),
    ],
    ids=["a server of an earlier version", "an unavailable database", "a cut connection"],
)
def test_a_report_that_fails_is_sent_again(problem: Answer, tmp_path: Path) -> None:
    write_model(tmp_path, "a", 100)
    reporter = ModelReporter(tmp_path, "w")
    with ScriptedServer(problem, Answer(204)) as peer, Server(peer.url, "t", 0, 0) as server:
        for _ in range(3):
            reporter.report(server)

    assert reported(peer) == [{"a": 100}, {"a": 100}]


def test_a_directory_whose_name_no_job_can_use_is_omitted(tmp_path: Path) -> None:
    write_model(tmp_path, "a", 100)
    write_model(tmp_path, "b c", 100)
    write_model(tmp_path, os.fsdecode(b"\xff"), 100)

    assert [facts.name for facts in ModelCatalog(tmp_path).read()] == ["a"]


def test_all_of_many_models_are_read_in_several_calls_and_reported_in_several_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_root, "MOST_NEW", 3)
    monkeypatch.setattr(model_facts, "MOST_MODELS", 2)
    for name in "ecabd":
        write_model(tmp_path, name, 100)
    reporter = ModelReporter(tmp_path, "w")

    with ScriptedServer(Answer(204)) as peer, Server(peer.url, "t", 0, 0) as server:
        for _ in range(3):
            reporter.report(server)

    assert ["".join(each) for each in reported(peer)] == ["ab", "c", "ab", "cd", "e"]
    bodies = [json.loads(request.body) for request in peer.requests]
    assert [(body["after"], body["has_more"]) for body in bodies] == [
        ("", True),
        ("b", True),
        ("", True),
        ("b", True),
        ("d", False),
    ], "until all are read, the server keeps the models after the last one"


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    directory = write_model(tmp_path, "a", 100)
    (directory / "link").symlink_to(directory / "absent")
    catalog = ModelCatalog(tmp_path)
    (first,) = catalog.read()
    written = (directory / "config.json").stat()

    (directory / "config.json").write_text(
        (directory / "config.json").read_text().replace("100", "200")
    )
    os.utime(directory / "config.json", ns=(written.st_atime_ns, written.st_mtime_ns))
    assert catalog.read() == [first], "same size and time, so the file counts as unchanged"

    os.utime(directory / "config.json", ns=(written.st_atime_ns, written.st_mtime_ns + 1))
    assert [facts.max_length for facts in catalog.read()] == [200]
    assert ModelCatalog(None).read() == []
