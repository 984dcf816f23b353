import os
from pathlib import Path

from cli import broker


def test_the_socket_lies_in_the_directory(tmp_path: Path) -> None:
    directory = Path("/data/valkey")

    assert broker.choose_socket(directory) == directory / "valkey.sock"


def test_a_path_that_no_socket_can_have_is_replaced_and_forgotten(tmp_path: Path) -> None:
    for directory in (tmp_path / ("deep" * 30), tmp_path / "with space"):
        chosen = broker.choose_socket(directory)
        assert len(os.fsencode(chosen)) <= broker.LONGEST_SOCKET_PATH
        assert " " not in str(chosen)

        broker.forget_socket(directory, chosen)
        assert not chosen.parent.exists()


def test_a_socket_in_the_directory_is_left_alone(tmp_path: Path) -> None:
    broker.forget_socket(tmp_path, tmp_path / "valkey.sock")

    assert tmp_path.exists()


def test_nobody_answers_where_nobody_listens(tmp_path: Path) -> None:
    assert not broker.answers(tmp_path / "valkey.sock")
