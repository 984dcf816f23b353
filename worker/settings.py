"""Settings of a worker process, read from the environment once, when it starts. Variable names begin with STEPLINE_."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The configuration of a worker process."""

    model_config = SettingsConfigDict(
        env_prefix="STEPLINE_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    server_url: str = "http://127.0.0.1:8000"
    """Address of the Stepline server."""
    broker_url: str = "redis://127.0.0.1:6379/0"
    """Address of the Valkey or Redis broker that carries the doorbell."""
    worker_token: SecretStr = SecretStr("")
    """Token that authorizes this worker's hellos and claims; must be the server's token."""
    models_dir: Path | None = None
    """Root of model directories; a model found there takes precedence over the hub."""
    work_dir: Path = Path(tempfile.gettempdir()) / "stepline-work"
    """Directory that contains the run directories; needs disk space for checkpoints."""
    lock_dir: Path = Path(tempfile.gettempdir()) / f"stepline-locks-{os.geteuid()}"
    """Directory of the GPU locks; must be the same for all workers on a host that may share a GPU."""
    queue: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    """The job queue this worker listens to."""
    worker_name: str | None = Field(None, max_length=200)
    """Unique name that is stable across restarts; by default derived from the GPU and the work directory."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    """Device to train on; `auto` uses the GPUs if there are any."""
    gpus: str | None = None
    """GPUs to use, as comma-separated indexes, UUIDs or UUID prefixes; by default all GPUs that CUDA makes visible."""
    cpu_ranks: int = Field(1, ge=1, le=64)
    """On a CPU, the number of processes that can train one job; each replaces one GPU that the job requests."""
    hub: bool = True
    """Whether this worker may download models and datasets from the hub."""
    hub_memory_bytes: int = Field(8 * 1024**3, ge=2 * 1024**3)
    """Memory of the process that downloads a dataset from the hub and converts it. Small files may unpack to large ones."""
    import_seconds: int = Field(6 * 3600, ge=1)
    """Time limit for the download of an import. A worker runs one import at a time, so later ones wait."""

    wandb: bool = False
    """Whether this worker mirrors the metrics of jobs with a W&B integration."""

    hello_seconds: float = Field(20, gt=0, le=30)
    """Interval between hellos."""
    poll_seconds: float = Field(0.1, gt=0)
    """Interval between checks of a running attempt's files."""
    system_seconds: float = Field(5, gt=0)
    """Interval between measurements of GPU, CPU and memory while a job trains."""
    control_seconds: float = Field(30, ge=0)
    """How long the training program may take to obey a cancel or pause before the worker sends SIGTERM."""
    term_seconds: float = Field(20, ge=0)
    """How long the training program may take to exit after SIGTERM before the worker sends SIGKILL."""
    claim_patience_seconds: float = Field(10, ge=0)
    """How long the worker retries a claim while the server is unreachable; the doorbell rings again later."""
    patience_seconds: float = Field(86_400, ge=0)
    """How long the worker retries delivering an attempt's results while the server is unreachable."""
    spool_bytes: int = Field(1024**3, ge=10_000)
    """Maximum size of an attempt's records on disk. Near the limit, metrics are thinned out and the gaps are recorded."""
    token_cache_bytes: int = Field(10 * 1024**3, ge=0)
    """Maximum size of the token cache in `work_dir`, which later attempts and jobs reuse. 0 turns it off."""
    measure_seconds: int = Field(300, ge=1)
    """Time limit for counting the tokens of a dataset. If a dataset takes longer, only a random sample of its rows is counted."""
    hang_seconds: float = Field(1800, ge=1)
    """Maximum time between two micro-batches. If it is exceeded, the attempt fails with no_progress."""
    device_check_seconds: float = Field(60, gt=0)
    """Interval between checks of a failed GPU."""
    kept_runs: int = Field(5, ge=0)
    """Number of run directories to keep: those of failed attempts, and of jobs that may resume here from a checkpoint."""


def hub_address_problem(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with HF_ENDPOINT, the address of the hub or a mirror of it, or None.

    It keeps the name that the hub's libraries read, because users of a mirror already have it set.
    """
    address = environ.get("HF_ENDPOINT", "")
    try:
        parts = urlsplit(address)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not address or (is_valid and not parts.query and not parts.fragment):
        return None
    return f"HF_ENDPOINT is {address!r}, which is not the address of a hub. Set it to an address such as https://hf-mirror.com"


def load_settings() -> Settings:
    """Return the settings for a worker that is about to start. Raise SystemExit if the token is missing or HF_ENDPOINT is invalid."""
    settings = Settings()
    if not settings.worker_token.get_secret_value():
        raise SystemExit(
            "stepline worker: STEPLINE_WORKER_TOKEN is not set. Set it to the server's token"
        )
    problem = hub_address_problem(os.environ) if settings.hub else None
    if problem is not None:
        raise SystemExit(f"stepline worker: {problem}")
    return settings
