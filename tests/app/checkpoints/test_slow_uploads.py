"""A worker uploads to the server's real routes while training writes checkpoints faster than it can upload them."""

import shutil
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from contracts.base import utc_now
from contracts.record import CheckpointRecord
from contracts.run.run_dir import RunDir
from tests.app.player import Player
from tests.programs.server_process import serving
from tests.worker.supervisor.builders import make_checkpoint, place
from worker.supervisor.reporting.notes import Notes
from worker.supervisor.results.checkpoints import Uploads
from worker.supervisor.server.client import Server

KEEP = 2


def test_checkpoints_are_stored_one_after_another_over_a_slow_link(
    app: FastAPI, player: Player, tmp_path: Path
) -> None:
    job = player.submit(checkpoint={"keep": KEEP, "upload": "always"})
    claim = player.claim()
    run_dir = place(RunDir(tmp_path / "run"))
    written: list[Path] = []
    stored_steps: list[int] = []

    def write_checkpoint() -> None:
        """Write, prune and report a checkpoint, as the training program and its supervisor do."""
        step = len(written) + 1
        written.append(make_checkpoint(run_dir.checkpoints, step))
        for path in written[:-KEEP]:
            shutil.rmtree(path, ignore_errors=True)
        name = written[-1].name
        player.sync(claim, CheckpointRecord(seq=step, at=utc_now(), step=step, name=name))

    class Slow(Server):
        """Uploads each file so slowly that the program writes more checkpoints than it keeps."""

        def send_checkpoint_file(self, *arguments: Any) -> None:
            for _ in range(KEEP + 1 if len(written) < 20 else 0):
                write_checkpoint()
            super().send_checkpoint_file(*arguments)

        def offer_checkpoint(self, *arguments: Any) -> Any:
            reply = super().offer_checkpoint(*arguments)
            if reply.stored:
                stored_steps.append(arguments[1].step)
            return reply

    write_checkpoint()
    notes = Notes()
    with serving(app) as port:
        url = f"http://127.0.0.1:{port}"
        uploads = Uploads(claim, lambda: Slow(url, "", 0, 0), run_dir, notes)
        uploads.finish(lambda: None, lambda: False)

    assert notes.pending() == []
    assert stored_steps == [1, 10, 19, 22]
    listed = player.get(f"/v1/jobs/{job}/checkpoints")["data"]
    assert [c["step"] for c in listed if c["stored"]] == [22, 19]
