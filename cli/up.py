"""`stepline up`: runs API, worker and broker over SQLite as child processes until Ctrl-C.

Order matters at start and at stop: the broker and the schema come before the API, and the API before the worker. The
worker stops first, while the API can still queue its job again.
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
from cli.data_dir import DataDir, DataDirInUse
from cli.environment import environment_of
from cli.listening import CannotListen, Listener, find_listener
from cli.models_dir import ModelsDir, NoModelsDir, find_models_dir
from cli.part import Part, StopStep
from processes.privacy import keep_private

READY_SECONDS = 60.0
API_DEATHS = 3
"""If the API dies this often within DEATHS_SECONDS, everything stops."""
DEATHS_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 30.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy


SET_HERE = (
    "DATABASE_URL",
    "BROKER_URL",
    "DATA_DIR",
    "WORK_DIR",
    "WORKER_TOKEN",
    "SERVER_URL",
    "HOST",
    "PORT",
)
"""Settings that the options override (docs/settings.md lists them)."""


class CannotStart(Exception):
    """`stepline up` cannot start; the message is for the person at the terminal."""


class _Told:
    """How often this process received a stop signal: one stops it, a second one hurries."""

    def __init__(self) -> None:
        self.times = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def _count(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the shape of a handler
        self.times += 1

    def to_stop(self) -> bool:
        return self.times > 0

    def to_hurry(self) -> bool:
        return self.times > 1


class _StoppedEarly(Exception):
    """A stop signal arrived during the start."""


@dataclass(frozen=True)
class _Site:
    """The directory, listener and models root of one `stepline up`."""

    home: DataDir
    listener: Listener
    models_dir: ModelsDir
    unix_socket: Path

    @property
    def url(self) -> str:
        """The URL of the API for the parts and this process."""
        return self.listener.local_url

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment from which each part's is chosen (environment.py). Settings that `up` decides override it."""
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
            "STEPLINE_ALLOW_REMOTE": "true",  # requested, or not needed: see _check_reach
        }
        return {"STEPLINE_TERM_SECONDS": "5"} | dict(environ) | own


def up(data_dir: Path, host: str, port: int, models_dir: Path | None, *, allow_remote: bool) -> int:
    """Start everything, supervise it, and stop it on a signal. Returns the exit status."""
    keep_private(os.environ)
    told = _Told()
    home = DataDir(data_dir.expanduser().resolve())
    try:
        models = find_models_dir(models_dir, os.environ, home.models)
        listener = find_listener(host, port)
        _check_reach(listener, allow_remote=allow_remote)
        valkey = broker.valkey_server()
        home.create()
        lock = home.lock(f"process {os.getpid()}, port {port}")
    except DataDirInUse as error:
        return _refuse(f"another `stepline up` already uses {home.path} ({error})")
    except (CannotStart, CannotListen, NoModelsDir, broker.BrokerMissing) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot use the data directory {home.path}: {error}")
    try:
        site = _Site(home, listener, models, broker.choose_socket(home.valkey))
        return _run(site, valkey, told)
    finally:
        os.close(lock)


def _run(site: _Site, valkey: Path, told: _Told) -> int:
    configuration = broker.write_configuration(site.home.valkey, site.unix_socket)
    environment = site.environment(os.environ)
    parts = _parts(site.home, environment, [str(valkey), str(configuration)])
    ignored = [f"STEPLINE_{name}" for name in SET_HERE if os.environ.get(f"STEPLINE_{name}")]
    if ignored:
        _say(f"Ignored, because `stepline up` sets them itself: {', '.join(ignored)}")
    try:
        _start(site, environment, parts, told)
        _announce(site)
        return _watch(parts, told)
    except _StoppedEarly:
        return 0
    except CannotStart as error:
        return _refuse(str(error))
    finally:
        _stop(parts, told)
        broker.forget_socket(site.home.valkey, site.unix_socket)


def _announce(site: _Site) -> None:
    url, *others = site.listener.find_urls()
    _say(f"\nStepline is ready at {url}")
    for other in others:
        _say(f"  and at  {other}")
    if site.listener.is_remote:
        _say(
            "  warning there is no authentication: everyone who can reach this address can read, submit and delete jobs"
        )
    _say(f"  data    {site.home.path}\n  logs    {site.home.logs}")
    _say(f"  models  {site.models_dir}\n  stop    Ctrl-C")


def _check_reach(listener: Listener, *, allow_remote: bool) -> None:
    if listener.is_remote and not allow_remote:
        raise CannotStart(
            f"--host {listener.host} would let other machines connect, and there is no authentication yet: everyone who "
            "can reach the port could read, submit and delete jobs. Leave --host out to listen on 127.0.0.1 and reach it "
            "through an SSH tunnel or an authenticating proxy; or, in a network that you trust, add --allow-remote"
        )


def _parts(home: DataDir, environment: dict[str, str], valkey: list[str]) -> dict[str, Part]:
    """Return the parts in start order."""
    python = [sys.executable, "-P", "-m"]
    term, quit_ = signal.SIGTERM, signal.SIGQUIT
    programs: dict[str, tuple[list[str], list[StopStep]]] = {
        "broker": (valkey, [(term, 3)]),
        "api": ([*python, "app.main"], [(term, 5)]),
        # On SIGTERM the worker hands its job back; SIGQUIT does not wait for that.
        "worker": ([*python, "worker.celery_app"], [(term, 8), (quit_, 2)]),
    }
    return {
        name: Part(
            name, program, environment_of(name, environment), home.logs / f"{name}.log", steps
        )
        for name, (program, steps) in programs.items()
    }


def _start(site: _Site, environment: dict[str, str], parts: dict[str, Part], told: _Told) -> None:
    _say("Starting the broker, the API and a worker …")
    parts["broker"].start()
    _wait_until(lambda: broker.answers(site.unix_socket), parts["broker"], told)
    _migrate(site.home, environment, told)
    parts["api"].start()
    _wait_until(lambda: _get(f"{site.url}/healthz") is not None, parts["api"], told)
    parts["worker"].start()
    _wait_until(lambda: _has_worker(site.url, parts["worker"].pid), parts["worker"], told)


def _migrate(home: DataDir, environment: dict[str, str], told: _Told) -> None:
    program = [sys.executable, "-P", "-m", "app.migrate"]
    needed = environment_of("migrate", environment)
    part = Part("migrate", program, needed, home.logs / "migrate.log", [(signal.SIGTERM, 5)])
    part.start()
    while part.is_running and not told.to_stop():
        time.sleep(0.02)
    part.stop(told.to_hurry)
    if told.to_stop():
        raise _StoppedEarly
    if part.exit_code != 0:
        raise CannotStart(
            f"the database could not be upgraded to the newest schema; the end of {part.log}:\n"
            f"{part.last_lines()}"
        )


def _wait_until(is_ready: Callable[[], bool], part: Part, told: _Told) -> None:
    end = time.monotonic() + READY_SECONDS
    while not is_ready():
        if told.to_stop():
            raise _StoppedEarly
        if not part.is_running:
            raise CannotStart(
                f"{part.name} ended with {part.exit_code}; the end of {part.log}:\n{part.last_lines()}"
            )
        if time.monotonic() > end:
            raise CannotStart(
                f"{part.name} is not ready after {READY_SECONDS:.0f} s; the end of {part.log}:\n"
                f"{part.last_lines()}"
            )
        time.sleep(0.05)


def _get(url: str) -> Any:
    """Return the API's response, or None."""
    try:
        with _DIRECT.open(url, timeout=5) as response:
            return json.load(response)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def _has_worker(url: str, pid: int) -> bool:
    answer = _get(f"{url}/v1/workers")
    return isinstance(answer, dict) and any(
        worker.get("pid") == pid for worker in answer.get("data", [])
    )


def _watch(parts: dict[str, Part], told: _Told) -> int:
    """Restart parts that die, with growing delays, until a stop signal; give up if the API keeps dying."""
    deaths: dict[str, list[float]] = {name: [] for name in parts}
    due: dict[str, float] = {}
    while not told.to_stop():
        now = time.monotonic()
        for name, part in parts.items():
            if name in due:
                if now >= due[name]:
                    del due[name]
                    part.start()
            elif not part.is_running:
                deaths[name] = [*(at for at in deaths[name] if now - at < DEATHS_SECONDS), now]
                _say(
                    f"{name} ended with {part.exit_code}; the end of {part.log}:\n{part.last_lines()}"
                )
                if name == "api" and len(deaths[name]) >= API_DEATHS:
                    _say("The API keeps crashing; stopping everything.")
                    return 1
                pause = min(2.0 ** (len(deaths[name]) - 1), LONGEST_BACKOFF_SECONDS)
                _say(f"Starting {name} again in {pause:.0f} s.")
                due[name] = now + pause
        time.sleep(0.1)
    return 0


def _stop(parts: dict[str, Part], told: _Told) -> None:
    if any(part.is_running for part in parts.values()):
        _say("\nStopping … (a running job goes back to the queue; press Ctrl-C again to hurry)")
    for part in reversed(parts.values()):
        part.stop(told.to_hurry)


def _refuse(message: str) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"stepline up: {message}\n")
    return 1


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed; the work continues
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
