"""Settings of the server process, read once from the environment in main. The variables begin with STEPLINE_."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.config.hosts import parse_pattern


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _origins(values: list[str]) -> list[str]:
    return [value.rstrip("/").lower() for value in values]  # in the form that browsers send


def _hosts(values: list[str]) -> list[str]:
    return [parse_pattern(value) for value in values]


def _networks(values: list[str]) -> list[str]:
    return [value if value == "*" else _network(value) for value in values]


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError(
            f"{value!r} is not an address or a network, such as 192.0.2.7 or 10.0.0.0/8; host names are not accepted"
        ) from None


class Settings(BaseSettings):
    """Settings of the server."""

    model_config = SettingsConfigDict(
        env_prefix="STEPLINE_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    database_url: str = "sqlite:///stepline-data/stepline.db"
    """SQLAlchemy URL: `sqlite:///file` or `postgresql+psycopg://user:password@host/database`."""
    broker_url: str = "redis://127.0.0.1:6379/0"
    """Address of the Valkey or Redis broker that carries the doorbell."""
    data_dir: Path = Path("stepline-data")
    """Directory for datasets, artifacts and checkpoints."""
    worker_token: SecretStr = SecretStr("")
    """Token that workers need to register and claim jobs; if it is empty, all workers are rejected."""
    cors_origins: Annotated[
        list[str], NoDecode, BeforeValidator(_split), AfterValidator(_origins)
    ] = []
    """Comma-separated list of other origins whose web pages may use the API; empty by default."""
    allowed_hosts: Annotated[
        list[str], NoDecode, BeforeValidator(_split), AfterValidator(_hosts)
    ] = []
    """Comma-separated names and addresses of this server besides localhost and `host`; `*.suffix` and `*` are
    allowed."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 selects a free port."""
    allow_remote: bool = False
    """Whether other machines are meant to have access. If false, the server logs a warning when they can reach it."""
    doorbell: bool = True
    """Whether the server rings the doorbell."""
    max_upload_bytes: int = Field(2 * 1024**3, ge=1)
    """Largest dataset, artifact or checkpoint file that the server accepts."""
    max_unpacked_bytes: int = Field(8 * 1024**3, ge=1)
    """Maximum unpacked size of a compressed or columnar dataset file."""
    conversion_seconds: float = Field(900, gt=0)
    """Time limit for reading a dataset file that is not plain JSON."""
    conversion_memory_bytes: int = Field(1024**3, ge=512 * 1024**2)
    """Address space limit of a process that reads a dataset file other than plain JSON, or that checks a large file."""
    review_seconds: float = Field(300, gt=0)
    """Time limit for reviewing a dataset's rows. A review stops reading rows at 70 % of it and covers only those read by
    then."""
    review_memory_bytes: int = Field(1024**3, ge=256 * 1024**2)
    """Address space limit of the process that reviews a dataset's rows."""
    background_bytes: int = Field(16 * 1024**2, ge=0)
    """Files of at least this size are checked after the response is sent; smaller files are checked before."""
    validations: int = Field(2, ge=1, le=16)
    """How many large files the server checks at the same time."""
    validation_seconds: float = Field(3600, gt=0)
    """Time limit for the check of a large file."""

    header_seconds: float = Field(20, gt=0)
    """Time limit for receiving a request's head."""
    idle_seconds: float = Field(75, gt=0)
    """Idle time after which a connection is closed."""
    progress_seconds: float = Field(60, gt=0)
    """Length of the window in which the client must send or read at least `progress_bytes`."""
    progress_bytes: int = Field(16 * 1024, ge=1, le=64 * 1024)
    """Minimum bytes per window; the defaults amount to 273 bytes per second."""
    connections_per_peer: int = Field(1000, ge=0)
    """Maximum connections per address; 0 means no limit."""
    streams_per_peer: int = Field(200, ge=0)
    """Maximum streams and long polls per address; 0 means no limit."""
    streams: int = Field(1000, ge=0)
    """Maximum streams and long polls in total; 0 means no limit."""
    trusted_proxies: Annotated[
        list[str], NoDecode, BeforeValidator(_split), AfterValidator(_networks)
    ] = []
    """Addresses and networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted."""

    webhook_networks: Annotated[
        list[str],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(lambda values: [_network(value) for value in values]),
    ] = []
    """Comma-separated private networks whose addresses may receive webhooks. Public addresses always may."""

    flush_seconds: float = Field(0.5, gt=0)
    """Maximum time before a worker sends a new record."""
    sync_seconds: float = Field(10, gt=0)
    """Maximum time between syncs if a worker has nothing new to report."""
    lease_seconds: float = Field(45, gt=0)
    """Time without a report after which an attempt is shown as unreachable."""
    takeover_seconds: float = Field(180, gt=0)
    """Time without a report after which an attempt is lost and its job is queued again."""
    sweep_seconds: float = Field(10, gt=0)
    """Time between sweeps."""
    ring_seconds: float = Field(30, gt=0)
    """Time after which the server rings again for a queue with waiting jobs; also the lifetime of a ring."""
    retry_seconds: float = Field(10, ge=0)
    """Delay before a job can be claimed again after a failed attempt or a second consecutive loss. Doubles each
    time."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.flush_seconds <= self.sync_seconds < self.lease_seconds < self.takeover_seconds:
            raise ValueError(
                "the times must be in this order: STEPLINE_FLUSH_SECONDS <= STEPLINE_SYNC_SECONDS < "
                "STEPLINE_LEASE_SECONDS < STEPLINE_TAKEOVER_SECONDS"
            )
        if self.sweep_seconds >= self.lease_seconds:
            raise ValueError("STEPLINE_SWEEP_SECONDS must be less than STEPLINE_LEASE_SECONDS")
        return self
