from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.record import MetricRecord
from tests.worker.training.run_directory import make_run_dir, records, run_here
from worker.training import loop, run
from worker.training.compute.device import Device, choose_device


def test_a_steps_duration_includes_the_devices_work(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = count(1)
    now = [0.0]

    class Late(Device):
        """Simulates a GPU that still has five seconds of work left when a call returns."""

        def synchronize(self) -> None:
            next(waits)
            now[0] += 5

    device = choose_device("float32", None)
    late = Late(device.torch_device, device.name, device.compute_dtype, device.compute_reason)
    monkeypatch.setattr(run, "choose_device", lambda *_: late)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run_dir = make_run_dir(tmp_path, tiny_model)

    assert run_here(run_dir).status == "succeeded"

    found = [r for r in records(run_dir) if isinstance(r, MetricRecord) and "loss" in r.values]
    assert [r.values["seconds"] for r in found] == [5.0] * 4
    assert next(waits) == 5  # one wait for each of the four steps
