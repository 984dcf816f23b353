"""`stepline worker`: runs one worker for each card of this host. Runs as `python -m worker.fleet`.

This process locks each of its cards until it exits, which keeps any other `stepline worker` from starting a worker for
the same card. Every few seconds, it tries to lock the cards that other processes hold. It writes a list of its cards
for its workers, which can borrow them from each other. It restarts workers that exit. On a host without a GPU, a single
worker runs without this parent process.
"""

import os

from processes.arguments import take_no_arguments
from processes.privacy import keep_private

if __name__ == "__main__":
    take_no_arguments("worker.fleet", __doc__)
    keep_private(os.environ)  # before the imports below, which take half a second

import contextlib
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

import pynvml
import structlog

from contracts.attempt import Device
from worker.logs import configure_logging
from worker.settings import Settings, load_settings
from worker.supervisor import alive
from worker.supervisor.host.cards.device import DeviceMissing, find_devices
from worker.supervisor.host.cards.driver import DriverTooOld, check_driver
from worker.supervisor.host.cards.gpu_lock import LockDirRefused, find_lock_dir, try_lock
from worker.supervisor.host.cards.gpus import GPUS, VISIBLE
from worker.supervisor.host.claim_turn import find_stuck, longest_turn_seconds, turn_path
from worker.supervisor.host.identity import (
    describe_device,
    host_id,
    name_of_card,
    slug,
    worker_home,
)
from worker.supervisor.host.siblings import FLEET, Sibling, make_host_id, write_cards

log = structlog.get_logger("worker.fleet")  # __name__ is __main__ here

PYTHON = (sys.executable, "-P", "-m")
PROGRAM = (*PYTHON, "worker.celery_app")
LOOK_SECONDS = 0.1
CARD_SECONDS = 3.0
"""Interval between attempts to lock the cards that other processes hold."""
HEARTBEAT_SECONDS = 10.0
CRASH_WINDOW_SECONDS = 60.0
LONGEST_BACKOFF_SECONDS = 30.0
FORWARDED: Mapping[signal.Signals, signal.Signals] = {
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGINT: signal.SIGINT,
    signal.SIGQUIT: signal.SIGQUIT,
    signal.SIGHUP: signal.SIGTERM,  # the terminal was closed; on SIGHUP, Celery would restart instead of stopping
}
"""Maps each signal that stops this process to the signal that it then sends to its workers."""


class Worker:
    """The worker of one card. It leads its own session and is killed when this process ends."""

    def __init__(
        self, name: str, device: Device, environ: Mapping[str, str], host: str = ""
    ) -> None:
        """`host`: the id shared by the workers that can borrow each other's cards."""
        self.name = name
        self.device = device
        self._environ = {key: value for key, value in environ.items() if key != GPUS} | {
            VISIBLE: device.uuid or "",
            "STEPLINE_DEVICE": "cuda",
            "STEPLINE_WORKER_NAME": name,
            FLEET: host,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._crashes: list[float] = []
        self._start_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the process has been started and has not been reaped."""
        return self._process is not None

    def start_if_due(self, now: float) -> None:
        """Start the worker unless it is running or its restart delay has not elapsed.

        Only the main thread may call this.
        """
        if self._process is None and now >= self._start_at:
            self._process = subprocess.Popen(
                [*PYTHON, "processes.parent", str(os.getpid()), *PROGRAM],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that Ctrl-C in a terminal reaches only this process
            )
            log.info("started a worker", worker_id=self.name, pid=self._process.pid)

    def reap(self, now: float) -> int | None:
        """If the process has ended, kill the rest of its group and return its exit status."""
        if self._process is None:
            return None
        # Check without reaping: the kernel cannot reuse the id of the group that we kill until the process is reaped.
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        self._process = None
        self._crashes = [*(at for at in self._crashes if now - at < CRASH_WINDOW_SECONDS), now]
        self._start_at = now + min(2.0 ** (len(self._crashes) - 1), LONGEST_BACKOFF_SECONDS)
        return status

    def restart_seconds(self, now: float) -> float:
        """Return the seconds until the worker is restarted."""
        return round(self._start_at - now, 1)

    def kill(self) -> None:
        """Kill the worker and its processes. The next call of `reap` reports that it has ended."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send the worker a signal if it is running."""
        if self._process is not None:
            self._process.send_signal(number)


class Fleet:
    """The workers of this host's cards."""

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[Device],
        lock_dir: Path,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        only_one = len(devices) == 1
        self._work_dir = settings.work_dir
        self._lock_dir = lock_dir
        self._host_id = make_host_id(host_id(settings.work_dir), devices)
        self._turn_path = turn_path(lock_dir, slug(self._host_id))
        self._longest_turn_seconds = longest_turn_seconds(settings.claim_patience_seconds)
        self._free = [
            Worker(
                name_of_card(settings, device, is_only_one=only_one),
                device,
                environ,
                self._host_id,
            )
            for device in devices
        ]
        """The workers whose cards this process does not hold."""
        self._workers: list[Worker] = []
        """The workers whose cards this process holds."""
        self._locks: list[int] = []
        self._clock = clock
        self._signals: deque[signal.Signals] = deque()
        self._is_stopping = False
        self._is_waiting = False
        self._look_for_cards_at = 0.0
        self._look_at_turn_at = 0.0
        self._heartbeat_at = 0.0
        self._last_heartbeat_error = ""

    def run(self) -> None:
        """Run the workers until a signal stops them and all have ended."""
        for number in FORWARDED:
            is_ignored = signal.getsignal(number) == signal.SIG_IGN
            if number != signal.SIGHUP or not is_ignored:  # nohup ignores SIGHUP
                signal.signal(number, self._receive)
        alive.forget_parents(self._work_dir)
        while True:
            now = self._clock()
            self._forward_signals()
            self._reap(now)
            if self._is_stopping and not any(worker.is_running for worker in self._workers):
                break
            if not self._is_stopping:
                self._take_cards(now)
                self._end_stuck_claim(now)
                for worker in self._workers:
                    worker.start_if_due(now)
            self._report(now)
            time.sleep(LOOK_SECONDS)
        alive.forget_parents(self._work_dir)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # the signature of a handler
        self._signals.append(signal.Signals(number))

    def _forward_signals(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            self._is_stopping = True
            log.info("stopping the workers", signal=number.name)
            for worker in self._workers:
                worker.send(FORWARDED[number])

    def _reap(self, now: float) -> None:
        for worker in self._workers:
            status = worker.reap(now)
            if status is not None and not self._is_stopping:
                log.error(
                    "a worker exited and will be restarted",
                    worker_id=worker.name,
                    status=status,
                    seconds=worker.restart_seconds(now),
                )

    def _take_cards(self, now: float) -> None:
        """Lock the cards that are free."""
        if not self._free or now < self._look_for_cards_at:
            return
        self._look_for_cards_at = now + CARD_SECONDS
        for worker in list(self._free):
            lock = try_lock(self._lock_dir / f"{slug(worker.device.uuid or '')}.card")
            if lock is None:
                continue
            self._locks.append(lock)
            self._free.remove(worker)
            self._workers.append(worker)
            self._heartbeat_at = now
            self._list_cards()
            log.info("locked a card", worker_id=worker.name, device=describe_device(worker.device))
        if not self._workers and not self._is_waiting:
            self._is_waiting = True
            log.info(
                "waiting, because other processes hold all cards",
                cards=[worker.device.uuid for worker in self._free],
            )

    def _end_stuck_claim(self, now: float) -> None:
        """Kill a worker that has held its turn to claim, and the cards borrowed for it, for too long."""
        if now < self._look_at_turn_at:
            return
        self._look_at_turn_at = now + CARD_SECONDS
        holder = find_stuck(self._turn_path, self._longest_turn_seconds, now)
        for worker in self._workers:
            if holder is not None and worker.name == holder.worker and worker.is_running:
                log.error(
                    "killing a worker that has held its turn to claim for too long",
                    worker_id=holder.worker,
                    pid=holder.pid,
                    seconds=round(now - holder.since),
                )
                worker.kill()

    def _list_cards(self) -> None:
        """Write the list of this process's cards for the workers. Call this before starting a worker for a new card."""
        cards = [
            Sibling(
                uuid=worker.device.uuid or "",
                model=worker.device.name,
                lock=slug(worker.device.uuid or ""),
                home=worker_home(self._work_dir, worker.name),
            )
            for worker in self._workers
        ]
        try:
            write_cards(self._lock_dir, self._host_id, cards)
        except OSError as error:  # a full disk; each worker then uses only its own card
            log.warning("could not write the list of cards for the workers", reason=str(error))

    def _report(self, now: float) -> None:
        """Write the file that the health check reads."""
        if now < self._heartbeat_at:
            return
        self._heartbeat_at = now + HEARTBEAT_SECONDS
        try:
            alive.touch_parent(self._work_dir, [worker.name for worker in self._workers])
        except OSError as error:  # a full disk; the workers must continue
            if str(error) != self._last_heartbeat_error:
                log.warning("could not write the heartbeat", reason=str(error))
            self._last_heartbeat_error = str(error)


def main() -> None:
    """Run a worker for each selected card; without a GPU, replace this process with a single worker."""
    configure_logging()
    settings = load_settings()
    try:
        settings.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        devices = find_devices(settings.device, os.environ, settings.gpus)
        if devices[0].kind == "cpu":
            os.execv(PROGRAM[0], PROGRAM)  # noqa: S606  # runs without a shell
        problem = check_driver()
        if problem is not None:
            log.error("the GPUs cannot be used", reason=problem)
        fleet = Fleet(settings, devices, find_lock_dir(settings, devices[0]), os.environ)
    except (DeviceMissing, DriverTooOld, LockDirRefused, OSError, pynvml.NVMLError) as error:
        raise SystemExit(f"stepline worker: {error}") from error
    fleet.run()


if __name__ == "__main__":
    main()
