"""Checks whether this machine can run a worker and lists the problems: `python -m worker.supervisor.doctor`.

It checks everything that the worker would use, with the worker's own settings, and changes nothing.
"""

import os

from processes.arguments import take_no_arguments
from processes.privacy import keep_private

if __name__ == "__main__":
    take_no_arguments("worker.supervisor.doctor", __doc__)
    keep_private(os.environ)  # before the imports below, which take a second

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx2
import pynvml
from kombu import Connection
from kombu.exceptions import KombuError, OperationalError

from contracts.attempt import Device
from worker.settings import Settings, hub_address_problem
from worker.supervisor.child.process import child_environment
from worker.supervisor.host.cards.device import DeviceMissing, find_devices
from worker.supervisor.host.cards.driver import DriverTooOld, check_driver
from worker.supervisor.host.identity import describe_device, installed_versions
from worker.supervisor.host.models.models_root import list_models
from worker.supervisor.host.siblings import can_be_lent
from worker.supervisor.server.answers import MISDIRECTED
from worker.supervisor.server.client import is_loopback

LOW_DISK_BYTES = 20 * 2**30
"""With less free space than this in the work directory, checkpoints of a large adapter may not fit."""
CHECK_SECONDS = 180
"""Time limit of the 4-bit check; importing torch alone takes several seconds."""
MOST_NAMED = 20
"""Maximum number of models to list by name."""
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    verdict: Literal["ok", "note", "bad"]
    what: str


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Run all checks, one after the other."""
    versions = installed_versions()
    yield Finding("ok", "versions: " + ", ".join(f"{name} {at}" for name, at in versions.items()))
    if "torch" not in versions or "bitsandbytes" not in versions:
        yield Finding("bad", "torch or bitsandbytes is missing: pip install 'stepline[worker]'")
    yield from _devices(settings, environ)
    yield _disk(settings.work_dir)
    yield _models(settings)
    yield _hub(settings, environ)
    yield _server(settings)
    yield _broker(settings)


def main() -> int:
    """Print the findings; exit with 1 if a problem prevents the worker from running jobs."""
    bad = False
    for finding in examine(Settings(), os.environ):
        bad = bad or finding.verdict == "bad"
        sys.stdout.write(f"{finding.verdict:4}  {finding.what}\n")
        sys.stdout.flush()
    sys.stdout.write(
        "\nThis worker cannot run jobs.\n" if bad else "\nThis machine can run a worker.\n"
    )
    return 1 if bad else 0


def _devices(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check each device that `stepline worker` would use."""
    try:
        devices = find_devices(settings.device, environ, settings.gpus)
    except DeviceMissing as error:
        yield Finding("bad", f"device: {error}")
        return
    if devices[0].kind == "cuda":
        yield from _driver()
    several = _several(devices, settings)
    if several is not None:
        yield several
    for device in devices:
        uuid = f" ({device.uuid})" if device.uuid else ""
        yield Finding("ok", f"device: {describe_device(device)}{uuid}")
        yield _four_bit(device, environ)


def _driver() -> Iterator[Finding]:
    try:
        problem = check_driver()
    except (DriverTooOld, pynvml.NVMLError) as error:
        problem = str(error)
    if problem is not None:
        yield Finding("bad", f"driver: {problem}")


def _several(devices: Sequence[Device], settings: Settings) -> Finding | None:
    """Report how many of the devices one job can use; return None if it can use only one."""
    if devices[0].kind == "cpu":
        if settings.cpu_ranks == 1:
            return None
        return Finding("ok", f"one job can train in up to {settings.cpu_ranks} processes")
    models = Counter(device.name for device in devices if can_be_lent(device.uuid or ""))
    most = max(models.values(), default=1)
    if most == 1:
        return None
    note = ", all of the same model" if len(models) > 1 else ""
    return Finding("ok", f"one job can use up to {most} GPUs{note}")


def _four_bit(device: Device, environ: Mapping[str, str]) -> Finding:
    training = [sys.executable, "-m", "worker.training"]
    environment = child_environment([device], environ)
    with tempfile.TemporaryDirectory() as empty:
        usage = subprocess.run(
            [*training, "--help"], cwd=empty, env=environment, capture_output=True, check=False
        )
        if b"--check-device" not in usage.stdout:
            return Finding(
                "note", "4-bit check: not run; each job runs it before loading the model"
            )
        try:
            done = subprocess.run(
                [*training, "--check-device"],
                cwd=empty,
                env=environment,
                capture_output=True,
                check=False,
                timeout=CHECK_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Finding("bad", f"4-bit check: no result after {CHECK_SECONDS} s")
    output = (done.stdout + done.stderr).decode(errors="replace").strip()[-2000:]
    return Finding("bad" if done.returncode else "ok", f"4-bit check: {output}")


def _disk(work_dir: Path) -> Finding:
    place = next(path for path in (work_dir, *work_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"disk: {free / 2**30:.0f} GiB free under {work_dir}"
    if not os.access(place, os.W_OK):
        return Finding("bad", f"disk: {place} is not writable")
    return Finding("ok" if free >= LOW_DISK_BYTES else "note", text)


def _models(settings: Settings) -> Finding:
    if settings.models_dir is None:
        return Finding(
            "note", "models: no models root (STEPLINE_MODELS_DIR); all models come from the hub"
        )
    found = list_models(settings.models_dir)
    if not found and not settings.hub:
        return Finding("bad", f"models: none under {settings.models_dir}, and the hub is disabled")
    shown = [
        *found[:MOST_NAMED],
        *([f"and {len(found) - MOST_NAMED} more"] if found[MOST_NAMED:] else []),
    ]
    return Finding("ok", f"models under {settings.models_dir}: {', '.join(shown) or 'none'}")


def _hub(settings: Settings, environ: Mapping[str, str]) -> Finding:
    if not settings.hub:
        return Finding("note", "hub: disabled (STEPLINE_HUB)")
    problem = hub_address_problem(environ)
    if problem is not None:
        return Finding("bad", f"hub: {problem}")
    address = environ.get("HF_ENDPOINT") or HUB
    try:
        httpx2.head(address, timeout=10, follow_redirects=True)
    except httpx2.HTTPError as error:
        return Finding(
            "note",
            f"hub: {address} is unreachable ({error}); models must be in the models root",
        )
    return Finding("ok", f"hub: {address} responds")


def _server(settings: Settings) -> Finding:
    address = f"{settings.server_url.rstrip('/')}/healthz"
    direct = is_loopback(httpx2.URL(address).host)
    try:
        status = httpx2.get(address, timeout=10, trust_env=not direct).status_code
    except httpx2.HTTPError as error:
        what = f"server: {settings.server_url} is unreachable ({error})"
        return _unreachable(what, "STEPLINE_SERVER_URL", on_this_machine=direct)
    if status == MISDIRECTED:
        host = httpx2.URL(address).host
        return Finding(
            "note",
            f"server: workers can use it, but other requests to the host {host} are rejected. To allow them, "
            f"add {host} to the server's STEPLINE_ALLOWED_HOSTS",
        )
    if status != 200:
        return Finding("bad", f"server: {address} returned status {status}")
    if not settings.worker_token.get_secret_value():
        return Finding("bad", "server: it responds, but STEPLINE_WORKER_TOKEN is not set")
    return Finding("ok", f"server: {settings.server_url} responds")


def _broker(settings: Settings) -> Finding:
    try:
        with Connection(settings.broker_url, connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            address = connection.as_uri()
    except (OSError, KombuError, OperationalError) as error:
        host = urlsplit(settings.broker_url).hostname
        what = f"broker: unreachable ({error})"
        return _unreachable(
            what, "STEPLINE_BROKER_URL", on_this_machine=host is None or is_loopback(host)
        )
    return Finding("ok", f"broker: {address} responds")


def _unreachable(what: str, setting: str, *, on_this_machine: bool) -> Finding:
    """Return a note if the service is on this machine, where it may not be running yet, or a problem if it is remote."""
    if on_this_machine:
        advice = f"the worker needs it: run `stepline up` or `docker compose up`, or set {setting}"
        return Finding("note", f"{what}; {advice}")
    return Finding("bad", f"{what}; check {setting}")


if __name__ == "__main__":
    sys.exit(main())
