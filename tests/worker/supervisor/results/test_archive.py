import os
import zipfile
from pathlib import Path

from worker.supervisor.results.archive import archive


def _adapter(path: Path, order: list[str]) -> Path:
    path.mkdir()
    (path / "sub").mkdir()
    for name in order:
        (path / name).write_text(f"content of {name}")
    return path


def test_identical_files_produce_identical_archives_regardless_of_order_times_and_permissions(
    tmp_path: Path,
) -> None:
    names = ["b.json", "a.safetensors", "sub/c.txt"]
    one = _adapter(tmp_path / "one", names)
    two = _adapter(tmp_path / "two", names[::-1])
    os.utime(two / "b.json", (1, 1))
    (two / "b.json").chmod(0o600)

    archive(one, tmp_path / "one.zip")
    archive(two, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as zipped:
        assert zipped.namelist() == sorted(names)
        assert zipped.read("sub/c.txt") == b"content of sub/c.txt"
        assert zipped.testzip() is None
