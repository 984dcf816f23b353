"""Settings that `stepline up` reads from its options and environment: the models directory and the address to listen on."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from cli.listening import interface_addresses
from tests.cli.up import STOP_SECONDS, Up, running_up
from tests.programs.processes import find_processes

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104  # the tests are about this address


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A `stepline up` that listens on all addresses; its environment sets a models directory and an allowed host."""
    directory = tmp_path_factory.mktemp("up")
    model = directory / "elsewhere" / "my-model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    variables = {
        "STEPLINE_MODELS_DIR": str(model.parent),
        "STEPLINE_ALLOWED_HOSTS": "tunnel.example",
        "STEPLINE_DATABASE_URL": "sqlite:////nowhere/x.db",
    }
    with running_up(
        directory, "--host", ALL_ADDRESSES, "--allow-remote", variables=variables
    ) as up:
        up.wait_until_ready()
        yield up
        os.killpg(up.process.pid, signal.SIGINT)
        assert up.process.wait(STOP_SECONDS) == 0
        up.wait_until_nothing_is_left()


def _get(up: Up, path: str, host: str) -> httpx2.Response:
    url = f"http://127.0.0.1:{up.port}{path}"
    return httpx2.get(url, headers={"Host": f"{host}:{up.port}"}, timeout=5, trust_env=False)


def test_the_models_directory_from_the_environment_reaches_the_worker(up: Up) -> None:
    [worker] = _get(up, "/v1/workers", "localhost").json()["data"]

    assert worker["models"] == ["my-model"]
    assert f"{up.printed.parent / 'elsewhere'} (STEPLINE_MODELS_DIR)" in up.output


def test_settings_that_have_no_effect_are_listed(up: Up) -> None:
    [line] = [line for line in up.output.splitlines() if line.startswith("Ignored")]

    assert line.endswith(": STEPLINE_DATABASE_URL")


def test_addresses_reachable_by_others_are_printed_with_a_warning(up: Up) -> None:
    first = [*interface_addresses(4), "127.0.0.1"][0]

    assert f"ready at http://{first}:{up.port}\n" in up.output
    for address in interface_addresses(4):
        assert f"http://{address}:{up.port}\n" in up.output
    assert "there is no authentication" in up.output
    assert "listening beyond" not in (up.home / "logs" / "api.log").read_text()


def test_the_machines_hostname_and_the_hosts_from_the_environment_are_allowed(up: Up) -> None:
    for host in (socket.gethostname(), "tunnel.example", "192.0.2.7"):
        assert _get(up, "/healthz", host).status_code == 200
    assert _get(up, "/healthz", "evil.example").status_code == 421


@pytest.mark.parametrize("host", [ALL_ADDRESSES, "0"])
def test_listening_beyond_loopback_requires_a_flag(tmp_path: Path, host: str) -> None:
    with running_up(tmp_path, "--host", host) as up:
        assert up.process.wait(20) == 1

        assert f"--host {host}" in up.output
        assert "no authentication" in up.output
        assert "--allow-remote" in up.output
        assert "Traceback" not in up.output
        assert not up.home.exists()
        assert find_processes(str(up.home), up.home) == {}


def test_a_missing_models_directory_is_rejected_with_an_explanation(tmp_path: Path) -> None:
    with running_up(tmp_path, variables={"STEPLINE_MODELS_DIR": str(tmp_path / "none")}) as up:
        assert up.process.wait(20) == 1

        assert f"STEPLINE_MODELS_DIR: directory {tmp_path / 'none'} does not exist" in up.output
        assert "Traceback" not in up.output
