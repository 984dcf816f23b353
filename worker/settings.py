"""Settings of a worker process, read from the environment once, in celery_app. Names begin with STEPLINE_."""

import os
import tempfile
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a worker has to be told."""

    model_config = SettingsConfigDict(
        env_prefix="STEPLINE_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    server_url: str = "http://127.0.0.1:8000"
    """Address of the Stepline server."""
    broker_url: str = "redis://127.0.0.1:6379/0"
    """Valkey or Redis, where the doorbell rings."""
    worker_token: SecretStr = SecretStr("")
    """Lets this worker say hello and claim; the server has the same one."""
    models_dir: Path | None = None
    """Root of model directories; one found there wins over the hub."""
    work_dir: Path = Path(tempfile.gettempdir()) / "stepline-work"
    """Where run directories lie; needs room for checkpoints."""
    lock_dir: Path = Path(tempfile.gettempdir()) / f"stepline-locks-{os.geteuid()}"
    """Where the locks of GPUs lie; the same for all workers on a host that may meet on one."""
    queue: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    """The job queue this worker listens to."""
    worker_name: str | None = Field(None, max_length=200)
    """Name that is stable over restarts and unique among workers; null: host and GPU."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """What to train on; `auto` takes the GPU if there is one."""
    hub: bool = True
    """Whether models and datasets may come from the hub."""

    hello_seconds: float = Field(20, gt=0, le=30)
    """Time between two hellos of an idle worker."""
    poll_seconds: float = Field(0.1, gt=0)
    """Time between two looks at a running attempt's files."""
    system_seconds: float = Field(5, gt=0)
    """Time between two measurements of GPU, processors and memory while a job trains."""
    control_seconds: float = Field(30, ge=0)
    """Time a training program has to follow a cancel or pause before it gets SIGTERM."""
    term_seconds: float = Field(20, ge=0)
    """Time it has after SIGTERM before it gets SIGKILL."""
    claim_patience_seconds: float = Field(10, ge=0)
    """How long a claim is tried while the server cannot be reached; the doorbell rings again later."""
    patience_seconds: float = Field(86_400, ge=0)
    """How long the results of an attempt are kept on trying to reach the server."""
    spool_bytes: int = Field(1024**3, ge=10_000)
    """Length of an attempt's records on disk; nearly there, figures are thinned and the gaps are told."""
    hang_seconds: float = Field(1800, ge=1)
    """Longest time between two micro-batches; beyond it the attempt fails with no_progress."""
    kept_runs: int = Field(5, ge=0)
    """Run directories kept of attempts that failed, or whose jobs may go on here from a checkpoint."""
