import os
import re
import signal
import socket
import stat
from pathlib import Path

from tests.cli.up import STOP_SECONDS, running_up
from tests.programs.processes import environment_of, find_processes
from tests.programs.waiting import wait_for

SECRETS = {"STEPLINE_WORKER_TOKEN", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"}


def secrets_in(environments: list[dict[str, str]]) -> set[str]:
    return {name for name in SECRETS for found in environments if name in found}


def test_ctrl_c_stops_everything_and_leaves_no_process(tmp_path: Path) -> None:
    variables = {"HF_TOKEN": "hf_secret", "AWS_SECRET_ACCESS_KEY": "aws"}
    with running_up(tmp_path, variables=variables) as up:
        up.wait_until_ready()
        assert up.get("/healthz") == 200
        up.wait_for_output("stop    Ctrl-C")
        assert re.search(r"^  device  .+\(no GPU is used", up.output, re.MULTILINE)
        assert f"  models  none in {up.home}/models yet" in up.output
        assert f"  next    open http://127.0.0.1:{up.port}/new" in up.output
        processes = find_processes(str(up.home), up.home)
        environments = {
            part: [environment_of(pid) for pid, name in processes.items() if part in name]
            for part in ("valkey-server", "app.main", "worker.celery_app")
        }
        assert all(environments.values())
        assert {part: secrets_in(found) for part, found in environments.items()} == {
            "valkey-server": set(),
            "app.main": {"STEPLINE_WORKER_TOKEN"},
            "worker.celery_app": {"STEPLINE_WORKER_TOKEN", "HF_TOKEN"},
        }
        assert stat.S_IMODE((up.home / "worker-token").stat().st_mode) == 0o600

        # A terminal sends Ctrl-C's SIGINT to the whole process group.
        os.killpg(up.process.pid, signal.SIGINT)

        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()
        assert "Traceback" not in up.output


def test_killing_stepline_up_leaves_no_process_running(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        up.wait_until_ready()

        up.process.kill()
        up.process.wait()

        up.wait_until_nothing_is_left()


def test_a_part_that_dies_is_restarted(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        up.wait_until_ready()
        processes = find_processes(str(up.home), up.home)
        broker = next(pid for pid, name in processes.items() if "valkey-server" in name)

        os.kill(broker, signal.SIGKILL)

        wait_for(
            lambda: any(
                "valkey-server" in name and pid != broker
                for pid, name in find_processes(str(up.home), up.home).items()
            )
        )
        assert "broker exited with -9" in up.output
        up.process.terminate()
        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()


def test_a_second_instance_with_the_same_data_directory_is_rejected(tmp_path: Path) -> None:
    with running_up(tmp_path) as first:
        first.wait_until_ready()
        with running_up(tmp_path, home=first.home) as second:
            assert second.process.wait(20) == 1
            assert "is already using" in second.output
            assert str(first.port) in second.output
        assert first.get("/healthz") == 200
        first.process.send_signal(signal.SIGHUP)
        assert first.process.wait(STOP_SECONDS) == 0


def test_a_port_in_use_is_rejected_with_an_explanation(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running_up(tmp_path, port=port) as up:
            assert up.process.wait(20) == 1
            assert f"port {port}" in up.output
            assert "--port" in up.output
            assert "Traceback" not in up.output


def test_ctrl_c_during_startup_stops_everything(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        up.wait_for_output("Starting")

        up.process.send_signal(signal.SIGINT)

        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()
