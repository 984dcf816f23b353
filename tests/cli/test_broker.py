import os
from pathlib import Path

from cli import broker


def test_the_broker_socket_is_placed_in_the_broker_directory(tmp_path: Path) -> None:
    directory = Path("/data/valkey")

    assert broker.choose_socket(directory) == directory / "valkey.sock"


def test_a_directory_unsuitable_for_a_socket_is_replaced_by_a_temporary_one(tmp_path: Path) -> None:
    for directory in (tmp_path / ("deep" * 30), tmp_path / "with space"):
        chosen = broker.choose_socket(directory)
        assert len(os.fsencode(chosen)) <= broker.LONGEST_SOCKET_PATH
        assert " " not in str(chosen)

        broker.forget_socket(directory, chosen)
        assert not chosen.parent.exists()


def test_forgetting_a_socket_does_not_remove_the_broker_directory(tmp_path: Path) -> None:
    broker.forget_socket(tmp_path, tmp_path / "valkey.sock")

    assert tmp_path.exists()


def test_a_socket_without_a_listener_is_reported_as_unavailable(tmp_path: Path) -> None:
    assert not broker.answers(tmp_path / "valkey.sock")
