"""The data directory reserves space for deletions."""

from pathlib import Path

from app.storage.data_dir import RESERVE_BYTES, Storage


def test_space_for_deletions_stays_reserved_while_the_disk_has_room(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.prepare()
    reserve = tmp_path / "reserve"

    assert reserve.stat().st_size == RESERVE_BYTES
    storage.give_up_reserve()
    assert reserve.exists(), "the disk is not full"

    reserve.unlink()
    storage.keep_reserve()
    assert reserve.stat().st_size == RESERVE_BYTES
    assert not list(storage.list_old(-1)), "the sweep must not treat it as an orphaned file"
