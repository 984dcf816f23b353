import os
from pathlib import Path

import pytest

from cli.data_dir import DataDir, DataDirInUse, default_data_dir


def test_the_default_data_directory_respects_xdg_data_home(tmp_path: Path) -> None:
    assert default_data_dir({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "stepline"
    assert default_data_dir({}) == Path.home() / ".local" / "share" / "stepline"


def test_the_data_directory_is_accessible_only_to_its_user(tmp_path: Path) -> None:
    home = DataDir(tmp_path / "data")
    home.create()
    home.worker_token()

    assert home.path.stat().st_mode & 0o777 == 0o700
    assert (home.path / "worker-token").stat().st_mode & 0o777 == 0o600


def test_the_worker_token_is_created_once(tmp_path: Path) -> None:
    home = DataDir(tmp_path)

    token = home.worker_token()
    assert len(token) >= 32
    assert home.worker_token() == token


def test_the_error_of_a_second_instance_names_the_process_that_uses_the_directory(
    tmp_path: Path,
) -> None:
    home = DataDir(tmp_path)
    descriptor = home.lock("process 12, port 8000")

    with pytest.raises(DataDirInUse, match="process 12, port 8000"):
        home.lock("process 13")
    os.close(descriptor)
    os.close(home.lock("process 14"))
