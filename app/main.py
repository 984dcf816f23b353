"""Entry point of the server: reads the settings, builds the application, runs uvicorn. Run it with `python -m app.main`."""

import gc
import os

from processes.arguments import take_no_arguments
from processes.privacy import keep_private

if __name__ == "__main__":
    take_no_arguments("app.main", __doc__)
    keep_private(os.environ)  # first, because the imports below are slow

gc.disable()  # Imports create no garbage, and collections would take a tenth of the startup time.
# Pydantic searches the metadata of every installed package for plugins; the server has none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from app.artifacts import routes as artifacts
from app.attempts import routes as attempts
from app.checkpoints import routes as checkpoints
from app.config.hosts import AllowedHosts, is_loopback
from app.config.settings import Settings
from app.datasets import routes as datasets
from app.datasets.validation.runner import Validator
from app.db.engine import Database
from app.doorbell import Doorbell
from app.edge.connections import connection_class
from app.edge.guard import Guard
from app.edge.limits import ConnectionLimits
from app.edge.middleware import REQUEST_ID_HEADER, Edge
from app.edge.origins import TrustedOrigins
from app.edge.peers import Slots
from app.errands import routes as errands
from app.errands.waiting import ErrandWaits
from app.errors.base import ErrorBody
from app.health import routes as job_health
from app.history import routes as history
from app.http import handlers
from app.http.document import DocumentedApp
from app.imports import routes as imports
from app.jobs import routes as jobs
from app.jobs.requests.waiting import Waits
from app.leases.gate import KnownTokens
from app.measurements import routes as measurements
from app.migrate import missing_migrations
from app.openai import routes as openai
from app.ops import health
from app.ops.logs import configure_logging
from app.ops.process import raise_file_limit
from app.plans import routes as plans
from app.prefetches import routes as prefetches
from app.presets import routes as presets
from app.previews import routes as previews
from app.reports import routes as reports
from app.site import examples, page
from app.storage.data_dir import Storage
from app.stream import routes as stream
from app.stream.schemas import StreamEvent
from app.stream.streams import Streams
from app.sweep.sweeper import Sweeper
from app.uploads import routes as uploads
from app.webhooks import routes as webhooks
from app.webhooks.courier import Courier
from app.workers import routes as workers

gc.freeze()  # exclude imported objects from later collections
gc.enable()

log = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 3
"""Time for open requests to finish after a stop signal."""


def create_app(settings: Settings) -> FastAPI:
    """Build the application. The database must already be migrated."""
    app = DocumentedApp(
        title="Stepline",
        version="0.1.0",
        description="QLoRA training jobs over HTTP.",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's page loads scripts from a CDN; the web page includes its own docs
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        responses={"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}},
    )
    app.event_models = [StreamEvent]
    app.state.settings = settings
    app.state.database = Database(settings.database_url)
    app.state.storage = Storage(settings.data_dir)
    app.state.validator = Validator(app.state.database, app.state.storage, settings)
    app.state.doorbell = Doorbell(settings)
    app.state.stopping = threading.Event()
    app.state.known_tokens = KnownTokens()
    app.state.streams = Streams(app.state.database)
    app.state.waits = Waits(app.state.database, app.state.stopping)
    app.state.errand_waits = ErrandWaits(app.state.database, app.state.stopping)
    app.state.slots = Slots(settings.streams, settings.streams_per_peer)
    app.state.page = page.Page(page.BUILD_DIR)
    for package in (
        jobs,
        job_health,
        history,
        stream,
        reports,
        artifacts,
        checkpoints,
        datasets,
        uploads,
        previews,
        measurements,
        prefetches,
        imports,
        presets,
        plans,
        errands,
        webhooks,
        workers,
        attempts,
        openai,
    ):
        app.include_router(package.router)
    app.include_router(jobs.names_router)
    for module in (health, examples, page):
        app.include_router(module.router)
    handlers.install(app)
    app.add_exception_handler(404, page.show_unknown_path)
    app.add_middleware(
        Guard,
        hosts=AllowedHosts(settings.host, settings.allowed_hosts),
        origins=TrustedOrigins(settings.cors_origins),
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["ETag", "Location", "Retry-After", REQUEST_ID_HEADER],
        )
    app.add_middleware(Edge, max_upload_bytes=settings.max_upload_bytes)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    state.storage.prepare()
    state.doorbell.start()
    await run_in_threadpool(state.validator.start)
    sweeper = Sweeper(state.database, state.settings, state.doorbell)
    tasks = [
        asyncio.create_task(sweeper.run()),
        asyncio.create_task(Courier(state.database, state.settings).run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await state.streams.close()
        await run_in_threadpool(state.validator.stop)
        state.doorbell.stop()
        state.database.close()


class _Server(uvicorn.Server):
    """A uvicorn server that ends long polls and streams on a stop signal."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._state = app.state

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGINT and SIGTERM."""
        self._state.stopping.set()
        self._state.streams.stop()
        super().handle_exit(sig, frame)


def main() -> int:
    """Serve until a stop signal arrives. Return the exit status: 2 if a setting or the database prevents startup."""
    configure_logging()
    try:
        settings = Settings()
    except ValidationError as error:
        return _fail("; ".join(_setting_problem(e) for e in error.errors()))
    raise_file_limit()
    app = create_app(settings)
    try:
        problem = missing_migrations(app.state.database)
    except SQLAlchemyError as error:
        problem = f"the database is unreachable: {str(error).splitlines()[0]}"
    if problem is None and not app.state.database.lock_for_this_server():
        problem = "another server is already using this SQLite database; use PostgreSQL to run several servers"
    if problem is not None:
        return _fail(problem)
    if not settings.worker_token.get_secret_value():
        log.warning("STEPLINE_WORKER_TOKEN is not set: the server rejects all workers")
    if not is_loopback(settings.host) and not settings.allow_remote:
        log.warning(
            "accepting connections from other machines without authentication: anyone who can reach this port "
            "can read, submit and delete jobs. If this is intended, set STEPLINE_ALLOW_REMOTE=true",
            host=settings.host,
        )
    config = uvicorn.Config(
        app,
        http=connection_class(ConnectionLimits.of(settings)),
        ws="none",
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # uvicorn raises the signal again after it has stopped.
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, app).run()
    return 0


def _setting_problem(error: object) -> str:
    assert isinstance(error, dict)  # noqa: S101  # pydantic's ErrorDetails is a dict
    name = "_".join(str(part) for part in error["loc"]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"STEPLINE_{name}: {message}" if name else message


def _fail(problem: str) -> int:
    sys.stderr.write(f"stepline serve: {problem}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
