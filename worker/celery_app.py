"""The worker's Celery app and its only task. Runs as `python -m worker.celery_app`.

A Celery message carries no job. It only rings the doorbell, and the worker responds by claiming a job over HTTP.
Lost, duplicated or forged messages therefore do no harm, so Celery's acknowledgements, retries and results are all
disabled. doorbell.py defines which messages are valid.
"""

import os

from processes.arguments import take_no_arguments
from processes.privacy import keep_private

if __name__ == "__main__":
    take_no_arguments("worker.celery_app", __doc__)
    keep_private(os.environ)  # before the imports below, which take a second

import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from celery import Celery, signals
from celery.worker import state

from contracts.attempt import WorkerInfo
from contracts.errands.errand import ErrandKind
from contracts.protocol.wire import TASK_NAME, celery_queue
from worker.doorbell import RingsOnly
from worker.logs import configure_logging
from worker.settings import Settings, load_settings
from worker.supervisor import alive
from worker.supervisor.child.device_guard import DeviceGuard
from worker.supervisor.child.strays import reap_strays
from worker.supervisor.errands.lane import Lane
from worker.supervisor.host.cards.device import DeviceMissing
from worker.supervisor.host.cards.gpu_lock import LockDirRefused, find_lock_dir
from worker.supervisor.host.check_timer import CheckTimer
from worker.supervisor.host.identity import (
    describe_device,
    describe_worker,
    slug,
    with_current_state,
)
from worker.supervisor.host.models.hub_cache import cache_dir, list_snapshots
from worker.supervisor.reporting.models import ModelReporter
from worker.supervisor.reporting.restart import RestartReport
from worker.supervisor.run import run_next
from worker.supervisor.server.answers import Refused, ServerUnavailable
from worker.supervisor.server.client import Server

log = structlog.get_logger("worker.celery_app")  # __name__ is __main__ here


def create_app(settings: Settings, worker: WorkerInfo) -> Celery:
    """Build the Celery app with its only task."""
    app = Celery("stepline", broker=settings.broker_url, amqp=RingsOnly, set_as_current=False)
    app.conf.update(
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        task_default_queue=celery_queue(settings.queue),
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        result_accept_content=["json"],
        worker_pool="prefork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker must survive a long broker outage
        broker_channel_error_retry=True,
        broker_transport_options={
            # Otherwise Celery keeps unacknowledged messages on the broker, where they can be forged too.
            "ack_emulation": False,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": not settings.broker_url.startswith("redis+socket:"),
            "health_check_interval": 25,
        },
    )

    guard = DeviceGuard(settings, worker, os.environ)  # each pool process has its own copy

    @app.task(name=TASK_NAME, shared=False)  # type: ignore[untyped-decorator]  # celery ships no types
    def ring() -> None:
        run_next(settings, worker, os.environ, guard, partial(pass_ring_on, app, settings))

    return app


@dataclass(frozen=True)
class Signals:
    """State that the threads of the main process share."""

    accepted: threading.Event = field(default_factory=threading.Event)
    """Set after each hello that the server accepts; cleared by a lane that waits for the next one."""
    due: threading.Event = field(default_factory=threading.Event)
    """Set to send the next hello now."""


def send_hellos(
    settings: Settings,
    worker: WorkerInfo,
    restart: RestartReport,
    threads: Signals,
    ring: Callable[[], object],
) -> None:
    """Send hellos to the server at regular intervals.

    Also call `ring` whenever a check of a failed GPU or the report of a restart is due, because the doorbell might
    otherwise never ring for this worker.
    """
    token = settings.worker_token.get_secret_value()
    last = ""
    timer = CheckTimer(settings, worker)
    snapshots = partial(list_snapshots, cache_dir(os.environ)) if settings.hub else dict
    models = ModelReporter(settings.models_dir, worker.worker_id, snapshots)
    with Server(settings.server_url, token, 0, 0) as server:
        while True:
            threads.due.clear()
            alive.touch(settings.work_dir, worker.worker_id)
            if timer.is_check_due():
                ring()
            try:
                server.hello(with_current_state(worker, settings))
                result = "accepted"
                if restart.is_due():
                    ring()
                models.report(server)
                threads.accepted.set()
            except (ServerUnavailable, Refused) as error:
                result = f"{type(error).__name__}: {error}"
                models.forget()
            if result != last:
                log.info("hello", result=result)
                last = result
            # Retry more often while the server rejects hellos or is unreachable.
            threads.due.wait(
                settings.hello_seconds if result == "accepted" else min(2, settings.hello_seconds)
            )


def ring_own_queue(app: Celery, settings: Settings, worker: WorkerInfo) -> None:
    """Ring for this worker only."""
    try:
        app.send_task(TASK_NAME, queue=own_queue(settings, worker), ignore_result=True, retry=False)
    except Exception as error:  # noqa: BLE001  # each transport has its own errors; the next hello tries again
        log.warning("could not ring the doorbell", reason=str(error))


def pass_ring_on(app: Celery, settings: Settings) -> None:
    """Ring for another worker of the job queue, because this worker's card is in use."""
    try:
        app.send_task(
            TASK_NAME, queue=celery_queue(settings.queue), ignore_result=True, retry=False
        )
    except Exception as error:  # noqa: BLE001  # each transport has its own errors; the server's sweep rings again
        log.warning("could not forward a ring", reason=str(error))


def own_queue(settings: Settings, worker: WorkerInfo) -> str:
    """Return the name of the queue that only this worker reads. No job queue has a dot in its name."""
    return f"{celery_queue(settings.queue)}.worker.{slug(worker.worker_id)}"


def hand_back_jobs(**_: Any) -> None:
    """Forward a stop signal to the busy pool process, which then hands its job back to the server."""
    for request in state.active_requests:
        if request.worker_pid:
            os.kill(request.worker_pid, signal.SIGTERM)


def main() -> None:
    """Start the worker. The main process handles the broker and the hellos; one pool process supervises training."""
    configure_logging()
    settings = load_settings()
    settings.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        worker = describe_worker(settings, os.environ)
        find_lock_dir(settings, worker.device)  # fail now, not at the first ring
    except (DeviceMissing, LockDirRefused) as error:
        raise SystemExit(f"stepline worker: {error}") from error
    log.info("worker", worker_id=worker.worker_id, device=describe_device(worker.device))
    reap_strays(settings.work_dir.resolve() / "runs")
    restart = RestartReport(settings, worker)
    restart.try_now()
    app = create_app(settings, worker)
    threads = Signals()
    lanes = [
        Lane(settings, worker.worker_id, os.environ, kind, threads.accepted, threads.due.set)
        for kind in ErrandKind
        if kind in worker.errands
    ]
    ring_own = partial(ring_own_queue, app, settings, worker)
    hello = threading.Thread(
        target=send_hellos, args=(settings, worker, restart, threads, ring_own), daemon=True
    )
    # The pool forks before the worker is ready; threads must not be started earlier.
    signals.setup_logging.connect(_keep_our_logging, weak=False)
    starts = (hello.start, *(lane.start for lane in lanes))
    signals.worker_ready.connect(lambda **_: [start() for start in starts], weak=False)
    signals.worker_shutting_down.connect(hand_back_jobs, weak=False)
    app.worker_main(
        [
            "--quiet",
            "worker",
            "--queues",
            f"{celery_queue(settings.queue)},{own_queue(settings, worker)}",
            "--hostname",
            f"{os.getpid()}@{socket.gethostname()}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _keep_our_logging(**_: Any) -> None:
    """Do nothing. Celery does not configure logging if its setup_logging signal has a receiver."""


if __name__ == "__main__":
    main()
