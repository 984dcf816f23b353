"""`stepline up`: runs the API, a worker and the broker as child processes with a SQLite database until Ctrl-C.

The order matters on startup and on shutdown: the broker and the schema come before the API, and the API before the
worker. The worker stops first, while the API can still requeue its job.
"""

import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cli import broker
from cli.announcement import describe_service
from cli.data_dir import DataDir, DataDirInUse
from cli.environment import environment_of
from cli.listening import CannotListen, Listener, find_listener
from cli.models_dir import ModelsDir, NoModelsDir, find_models_dir
from cli.part import Part, StopStep
from processes.privacy import keep_private

READY_SECONDS = 60.0
MAX_API_CRASHES = 3
"""If the API crashes this many times within CRASH_WINDOW_SECONDS, everything stops."""
CRASH_WINDOW_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 30.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # bypasses proxies


SET_BY_UP = (
    "DATABASE_URL",
    "BROKER_URL",
    "DATA_DIR",
    "WORK_DIR",
    "WORKER_TOKEN",
    "SERVER_URL",
    "HOST",
    "PORT",
)
"""Settings that `stepline up` overrides (listed in docs/settings.md)."""


class CannotStart(Exception):
    """`stepline up` cannot start. The message is shown to the user."""


class _StopSignals:
    """Counts the stop signals that this process receives. The first stops the parts; the second kills them."""

    def __init__(self) -> None:
        self._count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        self._count += 1

    def is_stop_requested(self) -> bool:
        return self._count > 0

    def is_forced(self) -> bool:
        return self._count > 1


class _StoppedEarly(Exception):
    """A stop signal arrived during startup."""


@dataclass(frozen=True)
class _Site:
    """The data directory, listener and models root of one `stepline up`."""

    home: DataDir
    listener: Listener
    models_dir: ModelsDir
    unix_socket: Path

    @property
    def url(self) -> str:
        """The API's URL for the parts and this process."""
        return self.listener.local_url

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment, with the overrides of `up`. environment.py selects each part's variables from it."""
        hosts = [environ.get("STEPLINE_ALLOWED_HOSTS", ""), *self.listener.hosts()]
        own = {
            "STEPLINE_DATABASE_URL": f"sqlite:///{self.home.database}",
            "STEPLINE_BROKER_URL": f"redis+socket://{self.unix_socket}",
            "STEPLINE_DATA_DIR": str(self.home.files),
            "STEPLINE_WORK_DIR": str(self.home.work),
            "STEPLINE_MODELS_DIR": str(self.models_dir.path),
            "STEPLINE_WORKER_TOKEN": self.home.worker_token(),
            "STEPLINE_SERVER_URL": self.url,
            "STEPLINE_HOST": self.listener.bind_host,
            "STEPLINE_PORT": str(self.listener.port),
            "STEPLINE_ALLOWED_HOSTS": ",".join(hosts),
            "STEPLINE_ALLOW_REMOTE": "true",  # already checked by _check_remote
        }
        return {"STEPLINE_TERM_SECONDS": "5"} | dict(environ) | own


def up(data_dir: Path, host: str, port: int, models_dir: Path | None, *, allow_remote: bool) -> int:
    """Start all parts, supervise them, and stop them on a signal. Return the exit status."""
    keep_private(os.environ)
    signals = _StopSignals()
    home = DataDir(data_dir.expanduser().resolve())
    try:
        models = find_models_dir(models_dir, os.environ, home.models)
        listener = find_listener(host, port)
        _check_remote(listener, allow_remote=allow_remote)
        valkey = broker.valkey_server()
        home.create()
        lock = home.lock(f"process {os.getpid()}, port {port}")
    except DataDirInUse as error:
        return _fail(f"another `stepline up` is already using {home.path} ({error})")
    except (CannotStart, CannotListen, NoModelsDir, broker.BrokerMissing) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"cannot use the data directory {home.path}: {error}")
    try:
        site = _Site(home, listener, models, broker.choose_socket(home.valkey))
        return _run(site, valkey, signals)
    finally:
        os.close(lock)


def _run(site: _Site, valkey: Path, signals: _StopSignals) -> int:
    configuration = broker.write_configuration(site.home.valkey, site.unix_socket)
    environment = site.environment(os.environ)
    parts = _parts(site.home, environment, [str(valkey), str(configuration)])
    ignored = [f"STEPLINE_{name}" for name in SET_BY_UP if os.environ.get(f"STEPLINE_{name}")]
    if ignored:
        _print(f"Ignored, because `stepline up` sets them itself: {', '.join(ignored)}")
    try:
        _start(site, environment, parts, signals)
        _announce(site)
        return _watch(parts, signals)
    except _StoppedEarly:
        return 0
    except CannotStart as error:
        return _fail(str(error))
    finally:
        _stop(parts, signals)
        broker.forget_socket(site.home.valkey, site.unix_socket)


def _announce(site: _Site) -> None:
    url, *others = site.listener.find_urls()
    _print(f"\nStepline is ready at {url}")
    for other in others:
        _print(f"  and at  {other}")
    if site.listener.is_remote:
        _print(
            "  warning there is no authentication: anyone who can reach this address can read, submit and delete jobs"
        )
    for line in describe_service(url, site.models_dir, lambda path: _get(f"{site.url}{path}")):
        _print(line)
    _print(f"  data    {site.home.path}\n  logs    {site.home.logs}\n  stop    Ctrl-C")


def _check_remote(listener: Listener, *, allow_remote: bool) -> None:
    if listener.is_remote and not allow_remote:
        raise CannotStart(
            f"--host {listener.host} would let other machines connect, and there is no authentication yet: anyone who "
            "can reach the port could read, submit and delete jobs. Omit --host to listen on 127.0.0.1, and connect "
            "through an SSH tunnel or an authenticating proxy. On a network that you trust, add --allow-remote instead"
        )


def _parts(home: DataDir, environment: dict[str, str], valkey: list[str]) -> dict[str, Part]:
    """Return the parts in start order."""
    python = [sys.executable, "-P", "-m"]
    term, quit_ = signal.SIGTERM, signal.SIGQUIT
    programs: dict[str, tuple[list[str], list[StopStep]]] = {
        "broker": (valkey, [(term, 3)]),
        "api": ([*python, "app.main"], [(term, 5)]),
        # On SIGTERM, the worker returns its job to the queue. On SIGQUIT, it exits immediately.
        "worker": ([*python, "worker.celery_app"], [(term, 8), (quit_, 2)]),
    }
    return {
        name: Part(
            name, program, environment_of(name, environment), home.logs / f"{name}.log", steps
        )
        for name, (program, steps) in programs.items()
    }


def _start(
    site: _Site, environment: dict[str, str], parts: dict[str, Part], signals: _StopSignals
) -> None:
    _print("Starting the broker, the API and a worker …")
    parts["broker"].start()
    _wait_until(lambda: broker.answers(site.unix_socket), parts["broker"], signals)
    _migrate(site.home, environment, signals)
    parts["api"].start()
    _wait_until(lambda: _get(f"{site.url}/healthz") is not None, parts["api"], signals)
    parts["worker"].start()
    _wait_until(lambda: _has_worker(site.url, parts["worker"].pid), parts["worker"], signals)


def _migrate(home: DataDir, environment: dict[str, str], signals: _StopSignals) -> None:
    program = [sys.executable, "-P", "-m", "app.migrate"]
    needed = environment_of("migrate", environment)
    part = Part("migrate", program, needed, home.logs / "migrate.log", [(signal.SIGTERM, 5)])
    part.start()
    while part.is_running and not signals.is_stop_requested():
        time.sleep(0.02)
    part.stop(signals.is_forced)
    if signals.is_stop_requested():
        raise _StoppedEarly
    if part.exit_code != 0:
        raise CannotStart(
            f"the database schema could not be upgraded. Last lines of {part.log}:\n"
            f"{part.last_lines()}"
        )


def _wait_until(is_ready: Callable[[], bool], part: Part, signals: _StopSignals) -> None:
    end = time.monotonic() + READY_SECONDS
    while not is_ready():
        if signals.is_stop_requested():
            raise _StoppedEarly
        if not part.is_running:
            raise CannotStart(
                f"{part.name} exited with {part.exit_code}. Last lines of {part.log}:\n{part.last_lines()}"
            )
        if time.monotonic() > end:
            raise CannotStart(
                f"{part.name} is not ready after {READY_SECONDS:.0f} s. Last lines of {part.log}:\n"
                f"{part.last_lines()}"
            )
        time.sleep(0.05)


def _get(url: str) -> Any:
    """Return the API's response, or None if it is missing or invalid."""
    try:
        with _DIRECT.open(url, timeout=5) as response:
            return json.load(response)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def _has_worker(url: str, pid: int) -> bool:
    workers = _get(f"{url}/v1/workers")
    return isinstance(workers, dict) and any(
        worker.get("pid") == pid for worker in workers.get("data", [])
    )


def _watch(parts: dict[str, Part], signals: _StopSignals) -> int:
    """Restart exited parts, with increasing delays, until a stop signal arrives. Give up if the API keeps crashing."""
    crashes: dict[str, list[float]] = {name: [] for name in parts}
    restart_at: dict[str, float] = {}
    while not signals.is_stop_requested():
        now = time.monotonic()
        for name, part in parts.items():
            if name in restart_at:
                if now >= restart_at[name]:
                    del restart_at[name]
                    part.start()
            elif not part.is_running:
                crashes[name] = [
                    *(at for at in crashes[name] if now - at < CRASH_WINDOW_SECONDS),
                    now,
                ]
                _print(
                    f"{name} exited with {part.exit_code}. Last lines of {part.log}:\n{part.last_lines()}"
                )
                if name == "api" and len(crashes[name]) >= MAX_API_CRASHES:
                    _print("The API keeps crashing. Stopping all parts.")
                    return 1
                pause = min(2.0 ** (len(crashes[name]) - 1), LONGEST_BACKOFF_SECONDS)
                _print(f"Restarting {name} in {pause:.0f} s.")
                restart_at[name] = now + pause
        time.sleep(0.1)
    return 0


def _stop(parts: dict[str, Part], signals: _StopSignals) -> None:
    if any(part.is_running for part in parts.values()):
        _print(
            "\nStopping … (a running job goes back to the queue; press Ctrl-C again to stop immediately)"
        )
    for part in reversed(parts.values()):
        part.stop(signals.is_forced)


def _fail(message: str) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"stepline up: {message}\n")
    return 1


def _print(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may have been closed; keep running
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
